"""How far numbers may be from the official ones, absolutely."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Close = Callable[..., None]
"""stage, ours, official, tolerance and, where the reference gives it, the exact value."""
FEATURES, MASKS = 1e-5, 5e-4
PIXELS = 1e-6
"""Of values up to 2.64: four units in the last place of float32, for another order of division and subtraction."""
GRADIENTS = {"float32": 2e-3, "float64": 5e-5}


WITHIN = 20
"""Tolerances by which numbers stored in float32 may be away from the exact ones. A wrong detail of the architecture is
thousands away."""


def allowed(tolerance: float, official: Tensor, exact: Tensor | None, fused: bool = False) -> float:
    """The tolerance, or twice the rounding of the stored numbers where that is more.

    Kernels differ between processors: two that are each as far from the exact numbers as the stored ones are, differ by
    up to twice that. On the processor that made the fixture the difference is 0. Numbers of float64 get nothing, unless
    attention is `fused`: the official code has float32 inside norms, rotations and softmax in any case.
    """
    if exact is None or (official.dtype == torch.float64 and not fused):
        return tolerance
    rounding = float((official.double() - exact.detach().double().reshape(official.shape)).abs().max())
    assert rounding <= WITHIN * max(tolerance, FEATURES), f"stored numbers are {rounding:.1e} from exact: no rounding"
    return max(tolerance, 2 * rounding)


def loss_tolerance(official: Tensor) -> float:
    """1e-6, or the unit in the last place of float32 at a stored loss where that is more (from 16 on)."""
    return max(1e-6, float(np.spacing(np.float32(official.abs().max()))))
