"""The rules by which faulty outlines are mended. Points are float64 [N,2], x and y, in pixels of `size` (H, W)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vesselbench.data import geometry
from vesselbench.types import Size

MENDED = {
    "too-few-points": "an outline of fewer than 3 points is dropped",
    "not-finite": "points that are not finite are dropped, and the outline when fewer than 3 are left",
    "zero-area": "an outline that encloses nothing is dropped",
    "partly-outside": "an outline is cut at the border of the image",
    "duplicate-polygon": "the second of two equal outlines of one image and phrase is dropped",
    "duplicate-annotation-id": "the second of two equal annotation ids gets a new one",
    "crowd-polygons": "iscrowd is set to 0 where the shape is polygons",
    "size-differs": "a stated size of the image's own proportions becomes the image's; coordinates are scaled",
    "rle-size": "run lengths of another size but the image's own proportions are drawn anew at its size",
}
"""Code -> rule. What has another code is not mended: where it is an error, the image is left out."""
_FAR = 1e9
_DIGITS = 6


@dataclass(frozen=True)
class Change:
    """One thing that was mended: what stood at `file` and `index` of the original, and what stands there now."""

    code: str
    file: str
    index: str
    before: Any
    after: Any


@dataclass(frozen=True)
class MendedPart:
    """A flat outline after the rules; None: it is dropped. `codes`: the rules that were applied, in order."""

    numbers: list[float] | None
    codes: tuple[str, ...]


def mend_part(numbers: Sequence[float], size: Size) -> MendedPart:
    """Apply not-finite, too-few-points, zero-area and partly-outside to one flat outline, ``x1, y1, x2, ...``.

    An outline with an odd count of numbers, or far or wholly outside the image, comes back as it is: nobody can tell
    what was meant.
    """
    if len(numbers) % 2:
        return MendedPart(list(numbers), ())
    codes: list[str] = []
    points = np.asarray(numbers, dtype=np.float64).reshape(-1, 2)
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        points = points[finite].round(_DIGITS)
        codes.append("not-finite")
    if len(points) < 3:
        return MendedPart(None, (*codes, "too-few-points") if not codes else tuple(codes))
    if np.abs(points).max() > _FAR or _far(points, size):
        return MendedPart(list(numbers), ())
    if geometry.encloses_nothing(points):
        return MendedPart(None, (*codes, "zero-area"))
    if geometry.points_outside(points, size):
        if geometry.misses(points, size):
            return MendedPart(list(numbers), ())
        points = clip(points, size).round(_DIGITS)  # before it is looked at: rounding may leave a line
        codes.append("partly-outside")
        if len(points) < 3 or geometry.encloses_nothing(points):
            return MendedPart(None, tuple(codes))
    return MendedPart(points.ravel().tolist() if codes else list(numbers), tuple(codes))


def clip(points: geometry.Points, size: Size) -> geometry.Points:
    """The part of an outline inside the image, by cutting at one border after the other; may be empty.

    I. E. Sutherland and G. W. Hodgman, Reentrant polygon clipping, Communications of the ACM 17:32, 1974. Pieces that
    fall apart stay joined along the border.
    """
    height, width = size
    for axis, limit, sign in ((0, 0.0, 1.0), (0, float(width), -1.0), (1, 0.0, 1.0), (1, float(height), -1.0)):
        if not len(points):
            break
        depth = sign * (points[:, axis] - limit)
        kept: list[np.ndarray[Any, np.dtype[np.float64]]] = []
        for index in range(len(points)):
            here, before = depth[index], depth[index - 1]
            if (here >= 0) != (before >= 0):
                share = before / (before - here)
                kept.append(points[index - 1] + share * (points[index] - points[index - 1]))
                kept[-1][axis] = limit
            if here >= 0:
                kept.append(points[index])
        points = np.array(kept).reshape(-1, 2)
    return points


def _far(points: geometry.Points, size: Size) -> bool:
    height, width = size
    return bool((points < (-width, -height)).any() or (points > (2 * width, 2 * height)).any())
