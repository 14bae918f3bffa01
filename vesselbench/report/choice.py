"""Which images a report shows."""

from __future__ import annotations

from dataclasses import dataclass

from vesselbench.compare import Comparison


@dataclass(frozen=True)
class Choice:
    """`index` into the comparison's images; `mean` is the primary metric's mean over the runs."""

    title: str
    index: int
    mean: float


@dataclass(frozen=True)
class Choices:
    """The images to show, and how many could not be ranked because a run has no value for them."""

    chosen: tuple[Choice, ...]
    unranked: int


def choose_images(comparison: Comparison) -> Choices:
    """Best, median and worst image by the primary metric's mean over the runs, and the one they disagree on most.

    An image is shown once, under the first of these titles it earns. Equal means rank in the order of the ids, so
    the choice does not depend on the order of the rows.
    """
    values = [run.values(comparison.primary) for run in comparison.runs]
    means: dict[int, float] = {}
    spread: dict[int, float] = {}
    for index in range(len(comparison.images)):
        known = [value for column in values if (value := column[index]) is not None]
        if len(known) == len(values):
            means[index] = sum(known) / len(known)
            spread[index] = max(known) - min(known)
    sign = -1.0 if comparison.directions[comparison.primary] == "higher" else 1.0
    ranking = sorted(means, key=lambda index: (sign * means[index], comparison.images[index]))
    if not ranking:
        return Choices((), len(comparison.images))
    wanted = [
        ("best", ranking[0]),
        ("worst", ranking[-1]),
        ("median", ranking[len(ranking) // 2]),
    ]
    if len(values) > 1:
        apart = max(ranking, key=lambda index: (spread[index], comparison.images[index]))
        wanted.append(("largest difference between the runs", apart))
    chosen: dict[int, Choice] = {}
    for title, index in wanted:
        chosen.setdefault(index, Choice(title, index, means[index]))
    order = ("best", "median", "worst", "largest difference between the runs")
    listed = sorted(chosen.values(), key=lambda choice: order.index(choice.title))
    return Choices(tuple(listed), len(comparison.images) - len(means))
