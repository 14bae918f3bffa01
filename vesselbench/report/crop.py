"""The part of a large image that a report shows at its own size: where the runs go wrong most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vesselbench.types import BoolMask, Size

LONGEST = 640
"""Longer side in pixels from which an image is shown once more in part."""
PART = 240
"""Side of that part in pixels of the image; it is shown twice as large."""


@dataclass(frozen=True)
class Window:
    """Rows and columns [top, bottom) x [left, right)."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


def find_window(errors: Sequence[BoolMask], size: Size) -> Window | None:
    """The square with the most pixels that some run gets wrong; None for an image that is shown large enough whole.

    Of equal ones the first in reading order, on a grid of a quarter of its side.
    """
    if max(size) <= LONGEST:
        return None
    height, width = min(PART, size[0]), min(PART, size[1])
    wrong = np.zeros(size, np.int64)
    for mask in errors:
        wrong += mask
    sums = np.pad(wrong.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    tops = sorted({*range(0, size[0] - height, PART // 4), size[0] - height})
    lefts = sorted({*range(0, size[1] - width, PART // 4), size[1] - width})
    best = max(
        ((top, left) for top in tops for left in lefts),
        key=lambda at: (
            sums[at[0] + height, at[1] + width] - sums[at[0], at[1] + width]
            - sums[at[0] + height, at[1]] + sums[at[0], at[1]],
            -at[0],
            -at[1],
        ),
    )  # fmt: skip
    return Window(best[0], best[1], best[0] + height, best[1] + width)
