"""What an empty mask scores: decided here, once, for every metric (numpy only).

The customs of the field differ: some tools leave an image with an empty reference out of the mean even when the model
painted there, others give an empty prediction distance 0. Here nothing leaves the mean:

=================  =======  ==========================
case               overlap  distance
=================  =======  ==========================
both empty         1        0
one of them empty  0        diagonal of the image
=================  =======  ==========================
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from vesselbench.types import BoolMask, Size

Case = Literal["ok", "both_empty", "empty_prediction", "empty_reference"]
CASES: tuple[Case, ...] = ("ok", "both_empty", "empty_prediction", "empty_reference")
Kind = Literal["overlap", "distance", "none"]


def inside(mask: BoolMask, fov: BoolMask | None) -> npt.NDArray[np.bool_]:
    """The pixels of `mask` [H,W] inside the field of view, as bool [N] in row order; all of them without one.

    Raises ValueError when the two differ in size.
    """
    if fov is None:
        return mask.reshape(-1)
    if fov.shape != mask.shape:
        raise ValueError(f"field of view {fov.shape} against mask {mask.shape}")
    return mask[fov]


def case_of(prediction_mask: BoolMask, reference: BoolMask, fov: BoolMask | None) -> Case:
    """Which of the two masks [H,W] has no foreground inside the field of view."""
    predicted = bool(inside(prediction_mask, fov).any())
    present = bool(inside(reference, fov).any())
    if predicted:
        return "ok" if present else "empty_reference"
    return "empty_prediction" if present else "both_empty"


def policy_value(kind: Kind, case: Case, size: Size, spacing: tuple[float, float] = (1.0, 1.0)) -> float | None:
    """The value that the policy gives, or None where the metric itself is to be called.

    `size` is (H, W) of the image in pixels, `spacing` the distance between rows and between columns, in whose unit the
    diagonal is. Raises ValueError for an unknown kind.
    """
    if kind not in ("overlap", "distance", "none"):
        raise ValueError(f"metric kind {kind!r} is not overlap, distance or none")
    if kind == "none" or case == "ok":
        return None
    if kind == "overlap":
        return 1.0 if case == "both_empty" else 0.0
    return 0.0 if case == "both_empty" else math.hypot(size[0] * spacing[0], size[1] * spacing[1])
