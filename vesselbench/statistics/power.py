"""What a test set can tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from vesselbench.statistics.paired import LEVEL, by_group

POWER = 0.8


@dataclass(frozen=True)
class Detectable:
    """The smallest true difference that would be found in 80 % of test sets like this one; None with a `reason`."""

    difference: float | None
    groups: int
    reason: str = ""


def minimum_detectable(differences: Sequence[float], groups: Sequence[str], planned: int | None = None) -> Detectable:
    """Smallest mean difference that a two-sided test at 5 % finds with 80 % power, in the unit of the differences.

    The standard error of the mean over images takes whole groups as the unit: with residual sums r_g of G groups and
    N images, SE^2 = G/(G-1) * sum(r_g^2) / N^2 (the linearised form of the cluster bootstrap's variance; Cameron &
    Miller 2015, Journal of Human Resources 50:317-372, equation 11). The difference is SE times the noncentrality at
    which Student's t with G-1 degrees of freedom passes its 97.5 % point in 80 % of cases. It depends on the spread
    of the differences, never on their mean. `planned`: another number of groups than those of the data, when the
    spread comes from one set (validation) and the answer is wanted for another: SE shrinks with its square root.

    One group, or no spread: None with a reason. ValueError as in `cluster_bootstrap`.
    """
    sums, sizes = by_group(differences, groups)
    count, wanted = len(sums), planned or len(sums)
    if min(count, wanted) < 2:
        return Detectable(None, wanted, "one group says nothing about how groups differ")
    residuals = sums - sizes * (sums.sum() / sizes.sum())
    error = float(np.sqrt(count / (count - 1) * np.sum(residuals**2)) / sizes.sum())
    if error < 1e-12:
        return Detectable(None, wanted, "the differences have no spread")
    return Detectable(_noncentrality(wanted - 1) * error * float(np.sqrt(count / wanted)), wanted)


def _noncentrality(degrees: int) -> float:
    """Shift, in standard errors, at which t passes its 97.5 % point with 80 % (the wrong tail adds next to nothing)."""
    bound = float(special.stdtrit(degrees, 1 - LEVEL / 2))
    return float(special.nctdtrinc(degrees, 1 - POWER, bound))
