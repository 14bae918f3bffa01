"""How far numbers may be from the official ones, absolutely."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

Close = Callable[[str, Tensor, Tensor, float], None]
FEATURES, MASKS = 1e-5, 5e-4
GRADIENTS = {"float32": 2e-3, "float64": 5e-5}


def loss_tolerance(official: Tensor) -> float:
    """1e-6, or the unit in the last place of float32 at a stored loss where that is more (from 16 on)."""
    return max(1e-6, float(np.spacing(np.float32(official.abs().max()))))
