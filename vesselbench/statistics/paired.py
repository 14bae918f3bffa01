"""Two models on the same images: the mean difference, its interval and its test, for groups as the unit.

Every function takes `differences`: one finite number per image (model A minus model B), and `groups`: the patient of
each image. Images of one patient resemble each other, so the unit that is resampled or ranked is always the group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Floats = npt.NDArray[np.float64]

TIE = 1e-9
"""Scores nearer than this are a tie: metrics pass through float32, two equal masks may differ in the last digits."""
CHUNK = 1000
"""Resamples drawn at once: memory stays at CHUNK x groups numbers."""
KEPT = 400
"""Up to so many groups the draws are kept for the next metric and pair: 32 MB for 10,000 resamples."""
LEVEL = 0.05
"""Share of false alarms that a judgement allows itself."""
FEW_GROUPS = 6
"""Below this number a signed-rank test cannot reach p < 0.05 (`least_p`)."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval in the unit of the differences; both ends None with a `reason` when there can be none."""

    low: float | None
    high: float | None
    reason: str = ""


@dataclass(frozen=True)
class SignedRank:
    """Two-sided p in (0, 1] of `groups` group means; `note` says when no data could have made it small."""

    p: float
    groups: int
    note: str = ""


@dataclass(frozen=True)
class Tally:
    """Images on which the first model's value is better, equal (within TIE) or worse."""

    wins: int
    ties: int
    losses: int


def cluster_bootstrap(
    differences: Sequence[float], groups: Sequence[str], resamples: int = 10_000, seed: int = 0
) -> Interval:
    """95 % interval of the mean difference over images, for groups as the sampled unit.

    Whole groups are drawn with replacement and keep all their images (Davison & Hinkley 1997, Bootstrap Methods and
    their Application, section 3.8); the mean over the images drawn is taken each time. The 2.5 % and 97.5 %
    quantiles of those means are too near each other when groups are few (Hesterberg 2015, The American Statistician
    69:371-386): both arms around the observed mean are therefore stretched by
    sqrt(G/(G-1)) * t(0.975, G-1) / z(0.975), which is 1.88 for 4 groups, 1.44 for 6 and 1.06 for 30, so that a
    symmetric bootstrap distribution gives Student's t interval. Simulated with no true difference (4 images a group,
    intraclass correlation 0.5), the plain quantiles exclude 0 in 21 % of cases for 4 groups and 13 % for 6, the
    stretched ones in 6 % and 4 %.

    Equal differences give an interval of width zero, one group gives none, with a reason. The same `seed` gives the
    same interval. Raises ValueError for unequal lengths, no data, a number that is not finite, resamples < 1.
    """
    values, codes, count = _checked(differences, groups)
    if resamples < 1:
        raise ValueError("resamples must be at least 1")
    if count < 2:
        return Interval(None, None, "all images belong to one group, so nothing says how groups differ")
    # Measured from the first value: equal differences become exact zeros and stay an interval without width.
    origin = values[0]
    sums = np.bincount(codes, weights=values - origin, minlength=count).astype(np.float64)
    sizes = np.bincount(codes, minlength=count).astype(np.float64)
    observed = float(sums.sum() / sizes.sum())
    deviations = np.quantile(resampled_means(sums, sizes, resamples, seed), [LEVEL / 2, 1 - LEVEL / 2]) - observed
    stretch = np.sqrt(count / (count - 1)) * special.stdtrit(count - 1, 1 - LEVEL / 2) / special.ndtri(1 - LEVEL / 2)
    low, high = min(float(stretch * deviations[0]), 0.0), max(float(stretch * deviations[1]), 0.0)
    return Interval(float(origin + observed + low), float(origin + observed + high))


def least_p(groups: int) -> float:
    """The smallest two-sided p that Wilcoxon's signed-rank test can give on so many groups: all point one way."""
    return 2.0 ** (1 - groups) if groups else 1.0


def resampled_means(sums: Floats, sizes: Floats, resamples: int, seed: int) -> Floats:
    """Means over images of so many draws of whole groups; sums [G] or [G, K], sizes [G] -> [resamples(, K)]."""
    means = []
    for times_drawn in draws(len(sums), resamples, seed):
        sizes_drawn = times_drawn @ sizes
        means.append((times_drawn @ sums) / (sizes_drawn if sums.ndim == 1 else sizes_drawn[:, None]))
    return np.concatenate(means)


def draws(groups: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each group is drawn in each resample, in pieces [up to CHUNK, groups]; every row sums to `groups`."""
    if groups <= KEPT:
        yield _kept_draws(groups, resamples, seed)
    else:
        yield from _drawn(groups, resamples, seed)


@lru_cache(maxsize=1)
def _kept_draws(groups: int, resamples: int, seed: int) -> Floats:
    return np.concatenate(list(_drawn(groups, resamples, seed)))


def _drawn(groups: int, resamples: int, seed: int) -> Iterator[Floats]:
    rng = np.random.default_rng(seed)
    share = np.full(groups, 1 / groups)
    for start in range(0, resamples, CHUNK):
        yield rng.multinomial(groups, share, size=min(CHUNK, resamples - start)).astype(np.float64)


def by_group(differences: Sequence[float], groups: Sequence[str]) -> tuple[Floats, Floats]:
    """Sum of the differences and number of images of each group, in the order in which groups first occur.

    ValueError as in `cluster_bootstrap`.
    """
    values, codes, count = _checked(differences, groups)
    sums = np.bincount(codes, weights=values, minlength=count).astype(np.float64)
    return sums, np.bincount(codes, minlength=count).astype(np.float64)


def group_means(differences: Sequence[float], groups: Sequence[str]) -> Floats:
    """Mean difference of each group, in the order in which groups first occur; ValueError as above."""
    sums, sizes = by_group(differences, groups)
    return sums / sizes


def wilcoxon_by_group(differences: Sequence[float], groups: Sequence[str]) -> SignedRank:
    """Wilcoxon's signed-rank test on the group means, two-sided; zero differences are split (Pratt 1959 keeps their
    ranks; half go to each side).

    Exact for up to 50 groups without ties and up to 13 with ties, else the normal approximation with tie correction
    (scipy). All means zero: p = 1. Fewer than six groups: p is given, and a note says how small it can be.
    Raises ValueError as `cluster_bootstrap` does.
    """
    means = np.round(group_means(differences, groups), 12)
    count = len(means)
    note = f"{count} groups cannot give a p below {least_p(count):.3g}" if 1 < count < FEW_GROUPS else ""
    if count == 1:
        return SignedRank(1.0, 1, "one group always gives a p of 1")
    if not np.any(np.abs(means) > TIE):
        return SignedRank(1.0, count, note)
    means[np.abs(means) <= TIE] = 0.0
    result = stats.wilcoxon(means, zero_method="zsplit", method="auto")
    return SignedRank(float(min(1.0, result.pvalue)), count, note)


def hodges_lehmann(differences: Sequence[float], groups: Sequence[str]) -> float:
    """Median of the averages of all pairs of group means, each with itself too: the shift that belongs to the
    signed-rank test (Hodges & Lehmann 1963, Annals of Mathematical Statistics 34:598)."""
    means = group_means(differences, groups)
    first, second = np.triu_indices(len(means))
    return float(np.median((means[first] + means[second]) / 2))


def share_within(differences: Sequence[float], margin: float) -> float:
    """Share of the images whose difference is at most the margin, in [0,1]; ValueError without any."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) == 0:
        raise ValueError("no differences")
    return float((np.abs(values) <= margin + TIE).mean())


def tally(differences: Sequence[float], better: str) -> Tally:
    """Count images by the sign of A minus B, seen from A; `better` is "higher" or "lower" (else ValueError)."""
    if better not in ("higher", "lower"):
        raise ValueError(f"better must be 'higher' or 'lower', not {better!r}")
    values = np.asarray(differences, dtype=np.float64)
    above, below = int((values > TIE).sum()), int((values < -TIE).sum())
    wins, losses = (above, below) if better == "higher" else (below, above)
    return Tally(wins, len(values) - wins - losses, losses)


def _checked(differences: Sequence[float], groups: Sequence[str]) -> tuple[Floats, npt.NDArray[np.int64], int]:
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or len(values) != len(groups) or len(values) == 0:
        raise ValueError(f"need one difference per image and its group, got {values.shape} and {len(groups)}")
    if not np.isfinite(values).all():
        raise ValueError("a difference is not finite; images without a value must be left out and counted before")
    order = {name: code for code, name in enumerate(dict.fromkeys(groups))}
    return values, np.array([order[name] for name in groups], dtype=np.int64), len(order)
