"""What a test set can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import pi, sqrt

import numpy as np
from scipy import special

from vesselbench.statistics.paired import FEW_GROUPS, LEVEL, by_group

POWER = 0.8
EXACT = 50
"""Up to so many groups the signed-rank test is exact."""


@dataclass(frozen=True)
class Detectable:
    """The smallest true difference that would be found in 80 % of test sets like this one; None with a `reason`."""

    difference: float | None
    groups: int
    reason: str = ""


def minimum_detectable(differences: Sequence[float], groups: Sequence[str], planned: int | None = None) -> Detectable:
    """Smallest mean difference that a two-sided signed-rank test at 5 % finds with 80 % power, in their unit.

    The standard error of the mean over images takes whole groups as the unit: with residual sums r_g of G groups and
    N images, SE^2 = G/(G-1) * sum(r_g^2) / N^2 (the linearised form of the cluster bootstrap's variance; Cameron &
    Miller 2015, Journal of Human Resources 50:317-372, equation 11). The difference is SE times the noncentrality at
    which Student's t with G-1 degrees of freedom reaches, in 80 % of cases, the level that the signed-rank test has on
    G groups (its p takes few values when G is small: 3.1 % is the next one below 5 % for 6 groups), divided by the
    root of 3/pi, the test's efficiency beside t for normal data (Hodges & Lehmann 1956, Annals of Mathematical
    Statistics 27:324). It depends on the spread of the differences, never on their mean. `planned`: another number of
    groups than those of the data, when the spread comes from one set (validation) and the answer is wanted for
    another: SE shrinks with its square root.

    Fewer than six groups, on which the signed-rank test can find nothing, or no spread: None with a reason. ValueError
    as in `cluster_bootstrap`.
    """
    sums, sizes = by_group(differences, groups)
    count, wanted = len(sums), planned or len(sums)
    if count < 2:
        return Detectable(None, wanted, "one group says nothing about how groups differ")
    if wanted < FEW_GROUPS:
        return Detectable(None, wanted, f"on {wanted} groups the signed-rank test cannot reach p < {LEVEL:g}")
    residuals = sums - sizes * (sums.sum() / sizes.sum())
    error = float(np.sqrt(count / (count - 1) * np.sum(residuals**2)) / sizes.sum())
    if error < 1e-12:
        return Detectable(None, wanted, "the differences have no spread")
    return Detectable(_noncentrality(wanted) * error * float(np.sqrt(count / wanted)), wanted)


@cache
def _noncentrality(groups: int) -> float:
    """Shift in standard errors that the test finds with 80 % (the wrong tail adds next to nothing)."""
    bound = float(special.stdtrit(groups - 1, 1 - _signed_rank_level(groups) / 2))
    return float(special.nctdtrinc(groups - 1, 1 - POWER, bound)) / sqrt(3 / pi)


def _signed_rank_level(groups: int) -> float:
    """The largest two-sided p up to 5 % that the exact signed-rank test can give; 5 % where there are many groups."""
    if groups > EXACT:
        return LEVEL
    ways = np.ones(1)
    for rank in range(1, groups + 1):  # of each sum of the ranks that point up
        ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))
    both = 2 * np.cumsum(ways) / ways.sum()
    return float(both[both <= LEVEL].max())
