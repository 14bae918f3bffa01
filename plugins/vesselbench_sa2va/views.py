"""Predictions of an image and of its mirror images, averaged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vesselbench import Example

MIRRORED: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (0, 1))
"""Axes that views 0 to 3 reverse; views 4 to 7 are these, transposed."""


def view_of(example: Example, view: int) -> Example:
    """The example as view 0 (as it is) to 7 sees it, without masks."""

    def see(pixels: Any) -> Any:
        seen = np.flip(pixels, MIRRORED[view % 4])
        return np.ascontiguousarray(seen.swapaxes(0, 1) if view >= 4 else seen)

    fov = None if example.fov is None else see(example.fov)
    return replace(example, image=see(example.image), mask=None, fov=fov, observer2=None)


def size_of(size: tuple[int, int], view: int) -> tuple[int, int]:
    """(H, W) of a view of an image of this size."""
    return (size[1], size[0]) if view >= 4 else size


def average_views(maps: list[Tensor], count: int) -> list[Tensor]:
    """Maps [h,w] of `count` views of each image, in their order, turned back: their mean [H,W] per image."""
    back = [
        torch.flip(plane.t() if view >= 4 else plane, MIRRORED[view % 4])
        for plane, view in zip(maps, [number % count for number in range(len(maps))], strict=True)
    ]
    return [torch.stack(back[first : first + count]).mean(0) for first in range(0, len(back), count)]
