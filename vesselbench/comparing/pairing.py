"""Contenders on the same images, two by two: paired differences of every metric, interval, test and judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from vesselbench.comparing.contender import Contender, mean_of, median_of
from vesselbench.statistics.holm import holm
from vesselbench.statistics.paired import (
    LEVEL,
    TIE,
    Interval,
    SignedRank,
    Tally,
    cluster_bootstrap,
    hodges_lehmann,
    share_within,
    tally,
    wilcoxon_by_group,
)
from vesselbench.statistics.power import Detectable, minimum_detectable

Judgement = Literal["better", "worse", "equivalent", "inconclusive"]
Role = Literal["primary", "secondary", "exploratory"]
RESAMPLES = 10_000
SEED = 0


@dataclass(frozen=True)
class PairedMetric:
    """One metric of two contenders A and B over the images on which both have a value. Differences are A minus B."""

    metric: str
    better: str
    role: Role
    """primary; secondary: of the declared family; exploratory: neither, and not judged."""
    mean_a: float | None
    mean_b: float | None
    difference: float | None
    """Mean over images."""
    median_difference: float | None
    interval: Interval
    hodges_lehmann: float | None
    test: SignedRank | None
    """Wilcoxon's, on group means."""
    p_adjusted: float | None
    """That test's p after Holm's correction over all questions of the same role; None when exploratory."""
    questions: int
    """How many were corrected together; 0 when exploratory."""
    tally: Tally
    within_margin: float | None
    """Share of the images whose difference is at most the margin; of the primary metric only."""
    detectable: Detectable | None
    images: int
    groups: int
    left_out: int
    """Images on which at least one of the two has no value."""
    judgement: Judgement | None
    """A against B, see `judge`; None when exploratory."""


@dataclass(frozen=True)
class Pair:
    """Two contenders by label, in the order in which they were given, and every metric of them."""

    a: str
    b: str
    metrics: Mapping[str, PairedMetric]


def pair_all(
    contenders: Sequence[Contender], groups: Sequence[str], roles: Mapping[str, Role], margin: float
) -> tuple[Pair, ...]:
    """Every two contenders. All rows and `groups` stand in the same order; `roles`: of every metric.

    Holm's correction is over the pairs for the primary metric, and over the pairs times the family for the secondary
    ones.
    """
    measured = [
        {metric: _measured(a, b, metric, groups, roles[metric], margin) for metric in a.directions}
        for a, b in combinations(contenders, 2)
    ]
    for role in ("primary", "secondary"):
        _adjust([pair for pair in measured if pair], role, margin)
    labels = combinations([contender.label for contender in contenders], 2)
    return tuple(Pair(a, b, metrics) for (a, b), metrics in zip(labels, measured, strict=True))


def _measured(
    a: Contender, b: Contender, metric: str, groups: Sequence[str], role: Role, margin: float
) -> PairedMetric:
    both = [
        (x, y, group)
        for x, y, group in zip(a.values(metric), b.values(metric), groups, strict=True)
        if x is not None and y is not None
    ]
    differences, names = [x - y for x, y, _ in both], [group for _, _, group in both]
    interval, test, shift, detectable = Interval(None, None, "no image has a value in both runs"), None, None, None
    if both:
        interval = cluster_bootstrap(differences, names, RESAMPLES, SEED)
        test, shift = wilcoxon_by_group(differences, names), hodges_lehmann(differences, names)
        detectable = minimum_detectable(differences, names)
    return PairedMetric(
        metric=metric,
        better=a.directions[metric],
        role=role,
        mean_a=mean_of([x for x, _, _ in both]),
        mean_b=mean_of([y for _, y, _ in both]),
        difference=mean_of(differences),
        median_difference=median_of(differences),
        interval=interval,
        hodges_lehmann=shift,
        test=test,
        p_adjusted=None,
        questions=0,
        tally=tally(differences, a.directions[metric]),
        within_margin=share_within(differences, margin) if role == "primary" and differences else None,
        detectable=detectable,
        images=len(both),
        groups=len(set(names)),
        left_out=len(groups) - len(both),
        judgement=None,
    )


def _adjust(pairs: Sequence[dict[str, PairedMetric]], role: str, margin: float) -> None:
    """Correct and judge, in place, every metric of that role in all pairs."""
    asked = [(pair, name) for pair in pairs for name, paired in pair.items() if paired.role == role]
    adjusted = holm([1.0 if (test := pair[name].test) is None else test.p for pair, name in asked])
    for (pair, name), p in zip(asked, adjusted, strict=True):
        paired = pair[name]
        judgement = judge(paired.interval, p, paired.hodges_lehmann, paired.better, margin if role == "primary" else 0)
        held = None if paired.test is None else p
        pair[name] = replace(paired, p_adjusted=held, questions=len(asked), judgement=judgement)


def judge(interval: Interval, adjusted: float, shift: float | None, better: str, margin: float) -> Judgement:
    """A against B, from the 95 % interval of the mean difference A minus B, the `adjusted` p of the signed-rank test
    and the Hodges-Lehmann `shift` that belongs to that test, in the metric's unit.

    equivalent: the interval lies within ± margin, whatever the test says, since a difference too small to matter is no
    advantage; better or worse: the interval leaves out 0, the adjusted p is below 0.05, and mean and shift point the
    same way; inconclusive: neither, or there is no interval.
    """
    if interval.low is None or interval.high is None or shift is None:
        return "inconclusive"
    inside = max(margin, TIE)  # scores nearer than a tie are equal, also without a margin
    if -inside <= interval.low and interval.high <= inside:
        return "equivalent"
    above, below = interval.low > 0 and shift > 0, interval.high < 0 and shift < 0
    if (above or below) and adjusted < LEVEL:
        return "better" if above == (better == "higher") else "worse"
    return "inconclusive"
