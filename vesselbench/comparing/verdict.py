"""The outcome of a comparison in one plain sentence."""

from __future__ import annotations

from dataclasses import dataclass

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.contender import Contender, mean_of
from vesselbench.comparing.pairing import Judgement, Pair, PairedMetric
from vesselbench.declared import counted
from vesselbench.statistics.paired import LEVEL, least_p
from vesselbench.statistics.power import POWER


@dataclass(frozen=True)
class Leaders:
    """The two contenders that the sentence is about, and their pair as seen from `first`."""

    first: Contender
    second: Contender
    paired: PairedMetric
    sign: int
    """1, or -1 where the pair is turned round."""
    judgement: Judgement | None
    """`first` against `second`."""


def verdict(comparison: Comparison) -> str:
    """One sentence on the primary metric: of two the first against the second, of more the best against the next.

    It names the difference of the means with its interval, what it rests on (images, groups, seeds), and what the
    first took of the second's training time (left out when they ran on unlike devices) and parameters.
    """
    pair = leading_pair(comparison)
    if pair is None:
        return _of_one(comparison)
    leaders = _leaders(comparison, pair)
    first, second, paired = leaders.first.label, leaders.second.label, leaders.paired
    metric, where = comparison.primary, _where(comparison)
    if paired.difference is None:
        return f"{where}{first} and {second} cannot be compared on {metric}: {paired.interval.reason}."
    if leaders.judgement in ("better", "worse"):
        return f"{where}{_decided(comparison, leaders)}."
    return f"{where}{_undecided(comparison, leaders)}."


def _decided(comparison: Comparison, leaders: Leaders) -> str:
    first, second, metric = leaders.first.label, leaders.second.label, comparison.primary
    lead = f"{first} is {leaders.judgement} than {second} on {metric}"
    if len(comparison.runs) > 2:
        lead = f"{_best(comparison, first)} and is {leaders.judgement} than the second, {second},"
    # the amount is positive whatever the direction of the metric and the order of the two
    sign = 1 if (leaders.paired.difference or 0.0) >= 0 else -1
    price = _price(leaders)
    at = f", at {price}" if price else ""
    noise = _below_noise(comparison, leaders.paired)
    return f"{lead} by {_range(leaders.paired, sign, '')} ({_basis(comparison, leaders)}){at}{noise}"


def _below_noise(comparison: Comparison, paired: PairedMetric) -> str:
    """Said of a gain that is smaller than the annotation is certain."""
    floor = None if comparison.ladder is None else comparison.ladder.noise_floor(comparison.primary)
    if floor is None or paired.difference is None or abs(paired.difference) >= floor:
        return ""
    return f"; that is less than the {floor:.3f} that a reference shifted by one pixel loses"


def _undecided(comparison: Comparison, leaders: Leaders) -> str:
    first, second, metric, paired = leaders.first.label, leaders.second.label, comparison.primary, leaders.paired
    equal = leaders.judgement == "equivalent"
    apart = "is not shown to be better or worse than" if _leaves_out_zero(paired) else "cannot be told apart from"
    outcome = "is equivalent to" if equal else apart
    lead = f"{first} {outcome} {second} on {metric}"
    if len(comparison.runs) > 2:
        lead = f"{_best(comparison, first)} but {outcome} the second, {second}"
    gap = _range(paired, leaders.sign, "+")
    limit = f", inside ±{comparison.margin:g}" if equal else ""
    if equal and comparison.declared_margin not in (None, comparison.margin):
        limit += ", a margin given after the fact"
    reason = "" if equal else _reason(comparison, paired)
    took = f"; {first} took {price} of {second}" if (price := _price(leaders)) else ""
    return f"{lead}: {first} minus {second} is {gap}{limit}{reason} ({_basis(comparison, leaders)}){took}"


def _leaves_out_zero(paired: PairedMetric) -> bool:
    low, high = paired.interval.low, paired.interval.high
    return low is not None and high is not None and (low > 0 or high < 0)


def _reason(comparison: Comparison, paired: PairedMetric) -> str:
    """Why nothing was decided: no interval, too few groups for any test, interval and test apart, or too few data."""
    if paired.interval.low is None or paired.test is None or paired.p_adjusted is None:
        return f"; {paired.interval.reason}"
    many = f" after correction for {paired.questions} pairs" if paired.questions > 1 else ""
    least = min(1.0, paired.questions * least_p(paired.groups))
    if least >= LEVEL:
        units = counted(paired.groups, comparison.unit)
        return f"; {units} are too few: the signed-rank test cannot give a p below {least:.2g} on them{many}"
    p = f"signed-rank p {paired.p_adjusted:.2g}{many}"
    if _leaves_out_zero(paired):
        apart = ", but the mean and the shift of the ranks point apart" if paired.p_adjusted < LEVEL else ""
        return f"; {p}{apart}"
    if paired.p_adjusted < LEVEL:
        return f"; {p}, but the interval of the mean holds 0"
    if paired.detectable is None or paired.detectable.difference is None:
        return ""
    return f"; a true difference of {paired.detectable.difference:.3f} would show in {POWER:.0%} of such test sets"


def leading_pair(comparison: Comparison) -> Pair | None:
    """The pair that the verdict is about: the best two by mean of the primary metric. None for a single contender."""
    if len(comparison.runs) < 2:
        return None
    labels = {run.label for run in comparison.ranked()[:2]}
    return next(pair for pair in comparison.pairs if {pair.a, pair.b} == labels)


def _leaders(comparison: Comparison, pair: Pair) -> Leaders:
    """Of two, the order in which they were given; of more, the winner first, without one the higher mean.

    With images left out, the pairs can favour the one whose mean over all its images is lower: the pairs decide.
    """
    paired = pair.metrics[comparison.primary]
    run = {run.label: run for run in comparison.runs}
    first = pair.a
    if len(comparison.runs) > 2:
        winner = {"better": pair.a, "worse": pair.b}
        first = winner.get(paired.judgement or "", comparison.ranked()[0].label)
    if first == pair.a:
        return Leaders(run[pair.a], run[pair.b], paired, 1, paired.judgement)
    turned: dict[Judgement | None, Judgement] = {"better": "worse", "worse": "better"}
    return Leaders(run[pair.b], run[pair.a], paired, -1, turned.get(paired.judgement, paired.judgement))


def _of_one(comparison: Comparison) -> str:
    run = comparison.runs[0]
    mean = mean_of(run.values(comparison.primary))
    outcome = "no image has a value" if mean is None else f"the mean is {mean:.3f}"
    size = _size(comparison, len(comparison.images), len(set(comparison.groups)), 0)
    seeds = _seeds(comparison, (run,))
    return f"{_where(comparison)}{run.label} was scored by {comparison.primary}: {outcome} ({size}, {seeds})."


def _where(comparison: Comparison) -> str:
    return "" if comparison.set_name == "test" else f"On the {comparison.set_name} set, "


def _best(comparison: Comparison, label: str) -> str:
    return f"{label} has the best mean {comparison.primary} of {len(comparison.runs)} models"


def _basis(comparison: Comparison, leaders: Leaders) -> str:
    paired = leaders.paired
    size = _size(comparison, paired.images, paired.groups, paired.left_out)
    return f"{size}, {_seeds(comparison, (leaders.first, leaders.second))}"


def _size(comparison: Comparison, images: int, groups: int, left_out: int) -> str:
    """ "8 children", or with the images where they are not the units: "12 images of 6 groups"."""
    units = counted(groups, comparison.unit)
    if left_out:
        return f"{images} of {images + left_out} images of {units}"
    return units if images == groups else f"{counted(images, 'image')} of {units}"


def _seeds(comparison: Comparison, sides: tuple[Contender, ...]) -> str:
    """How many seeds, what they say about the methods, and how far they lie apart."""
    numbers = [len(side.seeds) for side in sides]
    if numbers == [1]:
        return "1 seed: this checkpoint, not the method"
    if set(numbers) == {1}:
        return "1 seed each: these two checkpoints, not the methods"
    spreads = [side.spread(comparison.primary).sd for side in sides]
    shown = ["–" if sd is None else f"{sd:.3f}" for sd in spreads]
    if len(set(numbers)) == 1:
        each = " each" if len(numbers) > 1 else ""
        return f"{counted(numbers[0], 'seed')}{each} with SD {' and '.join(shown)} between them"
    return "; ".join(
        f"1 seed of {side.label}: this checkpoint, not the method"
        if len(side.seeds) == 1
        else f"{len(side.seeds)} seeds of {side.label} with SD {sd} between them"
        for side, sd in zip(sides, shown, strict=True)
    )


def _range(paired: PairedMetric, sign: int, plus: str) -> str:
    """The mean difference and its interval, both times `sign`."""
    shown = [] if paired.difference is None else [_amount(sign * paired.difference, plus)]
    if paired.interval.low is not None and paired.interval.high is not None:
        low, high = sorted((sign * paired.interval.low, sign * paired.interval.high))
        shown.append(f"[{_amount(low, plus)}, {_amount(high, plus)}]")
    return " ".join(shown)


def _amount(value: float, plus: str) -> str:
    """Three decimals, without a sign where they are all zero."""
    shown = f"{value:{plus}.3f}"
    return shown if float(shown) else shown.lstrip("+-")


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
