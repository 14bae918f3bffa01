"""Two runs on the same images: paired differences of every metric, their interval, test and judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vesselbench.contender import Contender, mean_of
from vesselbench.stats import Interval, SignedRank, Tally, cluster_bootstrap, hodges_lehmann, tally, wilcoxon_by_group

Judgement = Literal["better", "worse", "equivalent", "inconclusive"]
RESAMPLES = 10_000
SEED = 0


@dataclass(frozen=True)
class PairedMetric:
    """One metric of two runs A and B over the images on which both have a value. Differences are A minus B."""

    metric: str
    better: str
    mean_a: float | None
    mean_b: float | None
    difference: float | None
    interval: Interval
    hodges_lehmann: float | None
    test: SignedRank | None
    tally: Tally
    images: int
    groups: int
    left_out: int
    """Images on which at least one of the two has no value."""
    judgement: Judgement
    """A against B, see `judge`."""


@dataclass(frozen=True)
class Pair:
    """Two runs by label, in the order in which they were given, and every metric of them."""

    a: str
    b: str
    metrics: Mapping[str, PairedMetric]


def pair_runs(a: Contender, b: Contender, groups: Sequence[str], margin: float) -> Pair:
    """Every metric of A minus B. Both runs' rows and `groups` stand in the same order; margin: see `judge`."""
    metrics = {}
    for metric, better in a.directions.items():
        both = [
            (x, y, group)
            for x, y, group in zip(a.values(metric), b.values(metric), groups, strict=True)
            if x is not None and y is not None
        ]
        metrics[metric] = _paired_metric(metric, better, both, len(groups), margin)
    return Pair(a.label, b.label, metrics)


def _paired_metric(
    metric: str, better: str, both: Sequence[tuple[float, float, str]], total: int, margin: float
) -> PairedMetric:
    differences, names = [x - y for x, y, _ in both], [group for _, _, group in both]
    interval, test, shift = Interval(None, None, "no image has a value in both runs"), None, None
    if both:
        interval = cluster_bootstrap(differences, names, RESAMPLES, SEED)
        test, shift = wilcoxon_by_group(differences, names), hodges_lehmann(differences, names)
    return PairedMetric(
        metric=metric,
        better=better,
        mean_a=mean_of([x for x, _, _ in both]),
        mean_b=mean_of([y for _, y, _ in both]),
        difference=mean_of(differences),
        interval=interval,
        hodges_lehmann=shift,
        test=test,
        tally=tally(differences, better),
        images=len(both),
        groups=len(set(names)),
        left_out=total - len(both),
        judgement=judge(interval, better, margin),
    )


def judge(interval: Interval, better: str, margin: float) -> Judgement:
    """A against B, from the 95 % interval of A minus B in the metric's unit.

    equivalent: the interval lies within ± margin, even where it excludes 0, since a difference too small to matter is
    no advantage; better or worse: it excludes 0; inconclusive: neither, or there is no interval.
    """
    if interval.low is None or interval.high is None:
        return "inconclusive"
    if -margin <= interval.low and interval.high <= margin:
        return "equivalent"
    if interval.low > 0 or interval.high < 0:
        return "better" if (interval.low > 0) == (better == "higher") else "worse"
    return "inconclusive"
