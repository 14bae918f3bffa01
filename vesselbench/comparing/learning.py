"""From how many training groups on one model is better than another (no torch)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.contender import Contender, mean_of
from vesselbench.comparing.pairing import RESAMPLES, SEED, Pair, PairedMetric
from vesselbench.declared import counted
from vesselbench.statistics.paired import Interval, cluster_bootstrap


@dataclass(frozen=True)
class Size:
    """One size of the training set: `groups` of them, `samples`, and the models trained on it, compared."""

    fraction: float
    groups: int
    samples: int
    comparison: Comparison


@dataclass(frozen=True)
class Point:
    """One model at one size: mean over test images of the primary metric, and its 95 % interval over groups."""

    groups: int
    mean: float | None
    interval: Interval


@dataclass(frozen=True)
class Curve:
    """Sizes from the smallest to the largest, and the models in the order in which they were given."""

    sizes: tuple[Size, ...]
    models: tuple[str, ...]

    @property
    def primary(self) -> str:
        return self.sizes[0].comparison.primary

    @property
    def unit(self) -> str:
        return self.sizes[0].comparison.unit

    def contender(self, size: Size, model: str) -> Contender:
        """What stands for a model at one size: the contenders are in the models' order at every one."""
        return size.comparison.runs[self.models.index(model)]

    def points(self, model: str) -> list[Point]:
        """A model's means; images without a value are left out, as in the comparison."""
        return [_point(size, self.contender(size, model)) for size in self.sizes]

    def differences(self, model: str, other: str) -> list[PairedMetric]:
        """Model against other at every size, in the order of the sizes; positive: model has the higher value.

        The pairs stand as given, so `model` must come before `other` among the models.
        """
        return [self._pair(size, model, other).metrics[self.primary] for size in self.sizes]

    def _pair(self, size: Size, model: str, other: str) -> Pair:
        labels = (self.contender(size, model).label, self.contender(size, other).label)
        return next(pair for pair in size.comparison.pairs if (pair.a, pair.b) == labels)


def _point(size: Size, contender: Contender) -> Point:
    values = contender.values(size.comparison.primary)
    known = [(value, group) for value, group in zip(values, size.comparison.groups, strict=True) if value is not None]
    if not known:
        return Point(size.groups, None, Interval(None, None, "no image has a value"))
    interval = cluster_bootstrap([value for value, _ in known], [group for _, group in known], RESAMPLES, SEED)
    return Point(size.groups, mean_of(values), interval)


def crossings(curve: Curve, model: str, other: str) -> list[float]:
    """Numbers of groups at which the means change places, between neighbouring sizes, linear in log(groups)."""
    steps = [
        (size.groups, paired.difference)
        for size, paired in zip(curve.sizes, curve.differences(model, other), strict=True)
        if paired.difference is not None
    ]
    found = []
    for (few, before), (many, after) in pairwise(steps):
        if before * after < 0:
            share = before / (before - after)
            found.append(few * (many / few) ** share)
        elif after == 0 != before:
            found.append(float(many))
    return found


def answer(curve: Curve, model: str, other: str) -> str:
    """From how many groups on `model` is better than `other`, in sentences. What the intervals do not show is not said
    to be so; where the means cross is said apart from it."""
    judged = [paired.judgement for paired in curve.differences(model, other)]
    smallest, largest = (counted(size.groups, curve.unit) for size in (curve.sizes[0], curve.sizes[-1]))
    since = _last_run(judged, "better")
    if since is not None and since > 0:
        size = counted(curve.sizes[since].groups, curve.unit)
        head = f"From {size} of training on, {model} is better than {other} in {curve.primary}."
    elif since == 0:
        head = f"{model} is better than {other} in {curve.primary} at every size, from {smallest} to {largest}."
    elif _last_run(judged, "worse") == 0:
        head = f"{model} is worse than {other} in {curve.primary} at every size, from {smallest} to {largest}."
    else:
        said = {"better": f"{model} is better", "worse": f"{other} is better", "equivalent": "they are equivalent"}
        end = said.get(str(judged[-1]), "the test set does not tell them apart")
        head = (
            f"Up to {largest} of training, {model} has no lasting lead over {other} in {curve.primary}: there, {end}."
        )
    found = crossings(curve, model, other)
    if not found:
        return f"{head} The means do not cross: no crossing within the data."
    listed = " and ".join(f"about {counted(math.ceil(at), curve.unit)}" for at in found)
    return f"{head} The means cross at {listed} (between measured sizes, by a straight line on a logarithmic scale)."


def _last_run(judged: Sequence[str | None], wanted: str) -> int | None:
    """The first place from which on all are `wanted`; None when the last is not."""
    if not judged or judged[-1] != wanted:
        return None
    start = len(judged) - 1
    while start and judged[start - 1] == wanted:
        start -= 1
    return start


def budget_lines(curve: Curve) -> list[str]:
    """What every model was given at every size, and whether that was equal: samples seen, steps, validations."""
    lines = []
    for size in curve.sizes:
        runs = [curve.contender(size, model) for model in curve.models]
        seen = [run.costs.samples_seen for run in runs]
        each = ", ".join(
            f"{model} {run.costs.steps:,} steps of {run.costs.batch_size}"
            for model, run in zip(curve.models, runs, strict=True)
        )
        kind = "equal budget" if len(set(seen)) == 1 else "unequal budget"
        lines.append(f"{counted(size.groups, curve.unit)} ({size.samples} samples): {kind}: {each}.")
    return lines
