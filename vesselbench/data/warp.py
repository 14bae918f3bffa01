"""Rotation by any angle, and change of size, of an image and its masks (numpy and Pillow only)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesselbench.types import Size


@dataclass(frozen=True)
class Warp:
    """A window of `size` (H, W) around `centre` (y, x), cut from an image that is turned by `angle` radians
    counter-clockwise and enlarged by `scale` around that point. Beyond its borders the image is mirrored.
    """

    size: Size
    centre: tuple[float, float]
    angle: float
    scale: float

    def __call__(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The window of a uint8 image [H,W,3], bilinear, or of a bool mask [H,W].

        A mask is resampled bilinearly, too, and cut at one half: of straight lines of 2 pixels' width, turned up to 15
        degrees and resized by up to a quarter, none of 120 breaks and their area stays (0.996); nearest neighbours
        break 4 % of them. Lines of a single pixel break either way.
        """
        if plane.dtype != bool:
            return self._resample(plane)
        return self._resample(plane.astype(np.uint8) * 255) >= 128

    def _resample(self, plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        height, width = self.size
        cosine, sine = math.cos(self.angle) / self.scale, math.sin(self.angle) / self.scale
        needed = (height * abs(cosine) + width * abs(sine), width * abs(cosine) + height * abs(sine))
        rows, columns = (
            np.arange(math.floor(middle - length / 2) - 1, math.ceil(middle + length / 2) + 2)
            for middle, length in zip(self.centre, needed, strict=True)
        )
        source = plane[_mirrored(rows, plane.shape[0])[:, None], _mirrored(columns, plane.shape[1])]
        y, x = self.centre[0] - rows[0], self.centre[1] - columns[0]
        # Pillow asks for the source (x, y) of each output pixel: a turn about the two centres
        matrix = (
            *(cosine, -sine, x - cosine * width / 2 + sine * height / 2),
            *(sine, cosine, y - sine * width / 2 - cosine * height / 2),
        )
        drawn = Image.fromarray(source).transform(
            (width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
        return np.asarray(drawn)


def _mirrored(places: npt.NDArray[np.int64], side: int) -> npt.NDArray[np.int64]:
    """Places on an axis of `side` pixels that goes on mirrored on both sides."""
    folded = places % (2 * side)
    return np.minimum(folded, 2 * side - 1 - folded)
