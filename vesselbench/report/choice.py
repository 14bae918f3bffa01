"""Which images a report shows."""

from __future__ import annotations

from dataclasses import dataclass

from vesselbench.compare import Comparison

MOST = 12
"""Images in a gallery, at most."""


@dataclass(frozen=True)
class Choice:
    """`index` into the comparison's images; `mean` and `apart`: the primary metric's mean over the runs, and the gap
    between its highest and lowest value. `title`: best, median or worst by the mean, or empty.
    """

    title: str
    index: int
    mean: float
    apart: float


@dataclass(frozen=True)
class Choices:
    """The images to show, and how many could not be ranked because a run has no value for them."""

    chosen: tuple[Choice, ...]
    unranked: int


def choose_images(comparison: Comparison, most: int = MOST) -> Choices:
    """The images on which the runs disagree most, with the best, median and worst by the mean over the runs among
    them; the largest disagreement first. Of a single run the worst come first.

    Equal values rank in the order of the ids, so the choice does not depend on the order of the rows.
    """
    values = [run.values(comparison.primary) for run in comparison.runs]
    means: dict[int, float] = {}
    apart: dict[int, float] = {}
    for index in range(len(comparison.images)):
        known = [value for column in values if (value := column[index]) is not None]
        if len(known) == len(values):
            means[index] = sum(known) / len(known)
            apart[index] = max(known) - min(known)
    sign = -1.0 if comparison.directions[comparison.primary] == "higher" else 1.0
    ranking = sorted(means, key=lambda index: (sign * means[index], comparison.images[index]))
    if not ranking:
        return Choices((), len(comparison.images))
    titles = {ranking[len(ranking) // 2]: "median", ranking[-1]: "worst", ranking[0]: "best"}
    order = sorted(means, key=lambda index: (-apart[index], -sign * means[index], comparison.images[index]))
    kept = [*titles, *(index for index in order if index not in titles)][: max(most, len(titles))]
    listed = [Choice(titles.get(index, ""), index, means[index], apart[index]) for index in order if index in kept]
    return Choices(tuple(listed), len(comparison.images) - len(means))
