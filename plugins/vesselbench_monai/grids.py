"""Where the fully convolutional nets lose resolution: nowhere."""

from __future__ import annotations

from vesselbench.grids import Grids, whole


def grids(size: tuple[int, int]) -> Grids:
    """Windows are cut from the image at its own size (H, W), and masks are drawn at it."""
    return whole(size)
