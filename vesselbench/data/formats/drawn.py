"""Outlines of the shapes that LabelMe draws besides polygons: rectangles, circles and lines of a width."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vesselbench.data.findings import Fault, Place

Part = tuple[float, ...]
_SAGITTA = 0.05  # pixels that a chord may lie within its circle
_FARTHEST = 1e9
_REDRAW = "redraw or delete this shape"


def outlines(kind: str, points: list[tuple[float, float]], width: float | None, place: Place) -> tuple[Part, ...]:
    """The parts of a ``Polygons`` (flat x, y) for a rectangle, circle, line or linestrip; their union is the shape.

    rectangle: two opposite corners, or four corners in turn. circle: its centre and a point on it. line, linestrip:
    points along it, drawn `width` pixels wide with round ends. Raises Fault for another number of points, points that
    are not finite, a shape without area, and a line without `width`.
    """
    if not all(math.isfinite(value) and abs(value) <= _FARTHEST for point in points for value in point):
        raise Fault("not-finite", place, "a coordinate is not finite or beyond reason", _REDRAW)
    if kind == "rectangle":
        return (_rectangle(points, place),)
    if kind == "circle":
        _count(points, (2,), kind, place)
        (x, y), rim = points
        return (_circle(x, y, math.dist((x, y), rim), place),)
    if width is None:
        cure = "set data.options.line_width to the width of the lines in pixels, or outline them"
        raise Fault("no-line-width", place, f"a {kind} has no width", cure)
    return _stroke(points, width, kind, place)


def _count(points: list[tuple[float, float]], wanted: tuple[int, ...], kind: str, place: Place) -> None:
    if len(points) not in wanted:
        listed = " or ".join(map(str, wanted))
        code = "too-few-points" if len(points) < min(wanted) else "unsupported-shape"
        raise Fault(code, place, f"a {kind} of {len(points)} points, not {listed}", _REDRAW)


def _rectangle(points: list[tuple[float, float]], place: Place) -> Part:
    _count(points, (2, 4), "rectangle", place)
    if len(points) == 4:
        return tuple(value for point in points for value in point)
    (left, top), (right, bottom) = points
    return (left, top, right, top, right, bottom, left, bottom)


def _circle(x: float, y: float, radius: float, place: Place) -> Part:
    if radius <= 0:
        raise Fault("zero-area", place, "a circle of radius 0", _REDRAW)
    corners = 16
    if radius > _SAGITTA:
        corners = max(16, math.ceil(math.pi / math.acos(1 - _SAGITTA / radius)))
    angle = np.arange(min(corners, 4096)) * (2 * math.pi / min(corners, 4096))
    return _flat(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1))


def _stroke(points: list[tuple[float, float]], width: float, kind: str, place: Place) -> tuple[Part, ...]:
    if len(points) < 2:
        raise Fault("too-few-points", place, f"a {kind} of {len(points)} points, at least 2", _REDRAW)
    parts = [_circle(x, y, width / 2, place) for x, y in dict.fromkeys(points)]
    ends = np.asarray(points, dtype=np.float64)
    for start, end in pairwise(ends):
        along = end - start
        length = float(np.hypot(*along))
        if length > 0:
            aside = np.array([-along[1], along[0]]) * (width / 2 / length)
            parts.append(_flat(np.stack([start + aside, end + aside, end - aside, start - aside])))
    return tuple(parts)


def _flat(points: npt.NDArray[np.float64]) -> Part:
    return tuple(float(value) for value in points.ravel())
