"""Local contrast: what an image shows beside its neighbourhood, so that uneven light does not matter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter

from vesselbench.types import BoolMask

FLAT = 2.0
"""Grey levels: a neighbourhood that varies less is flat, and its noise is not blown up to full contrast."""

Planes = npt.NDArray[np.float32]


def planes_of(image: npt.NDArray[np.uint8]) -> Planes:
    """uint8 [H,W,C] as float32 [C,H,W] of the same values."""
    # By planes: astype alone would keep the colours of a pixel together, and all that follows takes twice the time.
    return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32)


def local_contrast(planes: Planes, fov: BoolMask | None, side: int, out: Planes | None = None) -> Planes:
    """(I - mean) / deviation of each plane of float32 [C,H,W] in grey levels: float32 [C,H,W], written to `out`.

    Mean and deviation are those of the pixels of the field of view (bool [H,W]; None: all) in a square of `side` pixels
    around each; outside of it the result is 0. It depends on nothing farther away than that: a crop looks the same as
    that part of the whole image.
    """
    inside = None if fov is None or fov.all() else fov.astype(np.float32)
    known = planes if inside is None else planes * inside
    mean, square = _box(known, side), _box(planes * known, side)
    if inside is not None:  # elsewhere the share is 1
        share = np.maximum(_box(inside, side), 1e-3)
        mean /= share
        square /= share
    square -= mean**2
    deviation = np.sqrt(np.maximum(square, FLAT**2, out=square), out=square)
    local: Planes = np.subtract(planes, mean, out=out)
    local /= deviation
    if inside is not None:
        local *= inside
    return local


def _box(values: Planes, side: int) -> Planes:
    """Mean over a square of `side` pixels around each pixel of the last two axes."""
    mean: Planes = uniform_filter(values, (0,) * (values.ndim - 2) + (side, side), mode="reflect")
    return mean
