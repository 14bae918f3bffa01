"""The outcome of a comparison in one plain sentence."""

from __future__ import annotations

from dataclasses import dataclass

from vesselbench.comparison import Comparison
from vesselbench.contender import Contender, mean_of
from vesselbench.pairing import Pair, PairedMetric


@dataclass(frozen=True)
class Leaders:
    """The two runs that the sentence is about, and their pair as seen from `first` (sign -1: it is turned round)."""

    first: Contender
    second: Contender
    paired: PairedMetric
    sign: int


def verdict(comparison: Comparison) -> str:
    """One sentence on the primary metric: of two runs one against the other, of more the best against the second.

    It names the difference of the means with its interval, the images and groups it rests on, and what the first
    run took of the second's training time (left out when they ran on unlike devices) and parameters.
    """
    pair = leading_pair(comparison)
    if pair is None:
        return _of_one(comparison)
    leaders = _leaders(comparison, pair)
    first, second, paired = leaders.first.label, leaders.second.label, leaders.paired
    metric, where = comparison.primary, f"On the {comparison.set_name} set"
    many = f"has the best mean {metric} of {len(comparison.runs)} runs" if len(comparison.runs) > 2 else ""
    if paired.difference is None:
        return f"{where} {first} and {second} cannot be compared on {metric}: {paired.interval.reason}."
    basis = _basis(paired)
    if paired.judgement in ("better", "worse"):
        gap = _range(paired, leaders.sign if paired.better == "higher" else -leaders.sign, "")
        lead = (
            f"{first} {many} and is better than the second, {second}," if many else f"{first} is better than {second}"
        )
        at = f", at {price}" if (price := _price(leaders)) else ""
        return f"{where} {lead}{'' if many else f' on {metric}'} by {gap} ({basis}){at}."
    outcome = "is equivalent to" if paired.judgement == "equivalent" else "cannot be told apart from"
    lead = f"{first} {many} but {outcome} the second, {second}" if many else f"{first} {outcome} {second}"
    limit = f", inside ±{comparison.margin:g}" if paired.judgement == "equivalent" else ""
    reason = f"; {paired.interval.reason}" if paired.interval.reason else ""
    took = f"; {first} took {price} of {second}" if (price := _price(leaders)) else ""
    gap = _range(paired, leaders.sign, "+")
    return (
        f"{where} {lead}{'' if many else f' on {metric}'}: {first} minus {second} is {gap}{limit}{reason} "
        f"({basis}){took}."
    )


def leading_pair(comparison: Comparison) -> Pair | None:
    """The pair that the verdict is about: the best two runs by mean of the primary metric. None for a single run."""
    if len(comparison.runs) < 2:
        return None
    labels = {run.label for run in comparison.ranked()[:2]}
    return next(pair for pair in comparison.pairs if {pair.a, pair.b} == labels)


def _leaders(comparison: Comparison, pair: Pair) -> Leaders:
    """The winner first; without one, the higher mean first of many, the order on the command line of two.

    With images left out, the pairs can favour the run whose mean over all its images is lower: the pairs decide.
    """
    paired = pair.metrics[comparison.primary]
    run = {run.label: run for run in comparison.runs}
    best = comparison.ranked()[0].label if len(comparison.runs) > 2 else pair.a
    first = {"better": pair.a, "worse": pair.b}.get(paired.judgement or "", best)
    second = pair.b if first == pair.a else pair.a
    return Leaders(run[first], run[second], paired, 1 if first == pair.a else -1)


def _of_one(comparison: Comparison) -> str:
    run = comparison.runs[0]
    mean = mean_of(run.values(comparison.primary))
    outcome = "no image has a value" if mean is None else f"the mean is {mean:.3f}"
    size = f"{_count(len(comparison.images), 'image')} of {_count(len(set(comparison.groups)), 'group')}"
    return (
        f"On the {comparison.set_name} set {run.label} was scored by {comparison.primary}: {outcome} "
        f"({size}, one seed: this checkpoint, not the method)."
    )


def _basis(paired: PairedMetric) -> str:
    of_all = f"of {paired.images + paired.left_out} " if paired.left_out else ""
    size = f"{paired.images} {of_all}images" if of_all else _count(paired.images, "image")
    return f"{size} of {_count(paired.groups, 'group')}, one seed each: these two checkpoints, not the methods"


def _range(paired: PairedMetric, sign: int, plus: str) -> str:
    """The mean difference and its interval, both times `sign`."""
    shown = [f"{sign * value + 0.0:{plus}.3f}" for value in (paired.difference,) if value is not None]
    if paired.interval.low is not None and paired.interval.high is not None:
        low, high = sorted((sign * paired.interval.low, sign * paired.interval.high))
        shown.append(f"[{low:{plus}.3f}, {high:{plus}.3f}]")
    return " ".join(shown)


def _price(leaders: Leaders) -> str:
    ours, theirs = leaders.first.costs, leaders.second.costs
    parts = []
    if ours.device == theirs.device and ours.train_seconds and theirs.train_seconds:
        parts.append(f"{times(ours.train_seconds / theirs.train_seconds)} the training time")
    if theirs.parameters_total:
        parts.append(f"{times(ours.parameters_total / theirs.parameters_total)} the parameters")
    return " and ".join(parts)


def times(ratio: float) -> str:
    """A ratio for reading: two digits below 10, whole above, never in powers of ten."""
    if ratio >= 10:
        return f"{ratio:,.0f} ×"
    if ratio >= 0.1:
        return f"{ratio:.1f} ×"
    return f"{ratio:.2f} ×" if ratio >= 0.01 else "less than 0.01 ×"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
