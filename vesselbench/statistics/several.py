"""Three or more models on the same images: do they differ at all, and how sure is their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
from scipy import special, stats

from vesselbench.statistics.paired import TIE, Floats, by_group, resampled_means

TIE_SEED = 1


@dataclass(frozen=True)
class Friedman:
    """Friedman's test over groups. p in (0, 1]; the statistics are None with a `reason` where they have no value."""

    p: float
    chi_square: float | None
    f: float | None
    """Iman and Davenport's form; None too when every group has the same order, where it is infinite."""
    groups: int
    reason: str = ""


@dataclass(frozen=True)
class Ranks:
    """How often each model takes each rank when the groups are drawn anew; rank 1 is the best."""

    shares: tuple[tuple[float, ...], ...]
    """A row per model: share of the resamples in which it has rank 1, 2, ...; every row sums to 1."""
    intervals: tuple[tuple[int, int], ...]
    """Per model the ranks that 95 % of the resamples lie between."""


def friedman(values: Sequence[Sequence[float]], groups: Sequence[str]) -> Friedman:
    """Friedman's rank test on group means: values[model][image], the group of every image.

    Ties share their mean rank, with the correction of chi-square for them (as scipy). The p is that of Iman &
    Davenport (1980, Communications in Statistics A 9:571-595): F = (G-1) X / (G (K-1) - X) with K-1 and (K-1)(G-1)
    degrees of freedom, which chi-square approaches too slowly for few groups. When all groups have the same order F
    is infinite; p is then (1/K!)^(G-1), the chance of such agreement. All models equal in every group: p = 1.
    Raises ValueError for fewer than three models, unequal lengths, or a number that is not finite.
    """
    if len(values) < 3:
        raise ValueError(f"Friedman's test needs three models at least, not {len(values)}")
    means = _group_means(values, groups)
    count, models = means.shape
    if count == 1:
        return Friedman(1.0, None, None, 1, "one group cannot show an order that repeats")
    ranks = stats.rankdata(np.round(means, 9), axis=1)
    ties = sum(float(np.sum(times**3 - times)) for times in (np.unique(row, return_counts=True)[1] for row in ranks))
    correction = 1 - ties / (count * models * (models**2 - 1))
    if correction < 1e-12:
        return Friedman(1.0, None, None, count, "all models are equal in every group")
    spread = 12 / (count * models * (models + 1)) * float(np.sum(ranks.sum(axis=0) ** 2)) - 3 * count * (models + 1)
    chi_square = spread / correction
    rest = count * (models - 1) - chi_square
    if rest < 1e-9:
        return Friedman(float(factorial(models)) ** (1 - count), chi_square, None, count, "every group has one order")
    f = max((count - 1) * chi_square / rest, 0.0)
    return Friedman(float(special.fdtrc(models - 1, (models - 1) * (count - 1), f)), chi_square, f, count)


def bootstrap_ranks(
    values: Sequence[Sequence[float]], groups: Sequence[str], better: str, resamples: int = 10_000, seed: int = 0
) -> Ranks:
    """Ranks by mean over images when whole groups are drawn with replacement: values[model][image].

    The idea is that of challengeR (Wiesenfarth et al. 2021, Scientific Reports 11:2369). Means nearer than TIE share
    their ranks by chance, evenly. Raises ValueError as `friedman` does, and unless `better` is "higher" or "lower".
    """
    if better not in ("higher", "lower"):
        raise ValueError(f"better must be 'higher' or 'lower', not {better!r}")
    grouped = [by_group(row, groups) for row in values]
    sums, sizes = np.stack([total for total, _ in grouped], axis=1), grouped[0][1]
    means = np.round(resampled_means(sums, sizes, resamples, seed) / TIE)
    order = -means if better == "higher" else means
    chance = np.random.default_rng(TIE_SEED).random(order.shape)
    ranks = np.lexsort((chance, order), axis=1).argsort(axis=1) + 1
    shares = np.stack([(ranks == rank).mean(axis=0) for rank in range(1, len(values) + 1)], axis=1)
    low, high = np.quantile(ranks, [0.025, 0.975], axis=0, method="nearest")
    return Ranks(
        tuple(tuple(float(share) for share in row) for row in shares),
        tuple((int(a), int(b)) for a, b in zip(low, high, strict=True)),
    )


def _group_means(values: Sequence[Sequence[float]], groups: Sequence[str]) -> Floats:
    columns = []
    for row in values:
        sums, sizes = by_group(row, groups)
        columns.append(sums / sizes)
    return np.stack(columns, axis=1)
