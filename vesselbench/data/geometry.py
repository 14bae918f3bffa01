"""What can be wrong with the outline of a polygon (numpy only). Points are float64 [N,2]: x, y in pixels, finite."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vesselbench.types import Size

Points = npt.NDArray[np.float64]
_CHUNK = 100_000  # pairs looked at together: some 20 MB
_MOST_PAIRS = 5_000_000  # about a second


class TooManyPairsError(ValueError):
    """So many edges overlap in both directions that a search for crossings would take too long."""


def area(points: Points) -> float:
    """Area within the outline in square pixels, by the shoelace formula; parts run round the other way count less."""
    x, y = (points - points.mean(axis=0)).T  # centred: far from the origin the products lose their digits
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def encloses_nothing(points: Points) -> bool:
    """True when no pixel could be inside: all points on one line, or an outline that goes back on itself."""
    spread = np.ptp(points, axis=0)
    scale = float(spread.max())
    if scale == 0.0:
        return True
    if area(points / scale) > 1e-9:
        return False
    try:
        return first_crossing(points) is None  # the two halves of an 8 cancel, yet enclose something
    except TooManyPairsError:
        return False


def outline_key(numbers: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """The points of a flat outline, ``x1, y1, x2, ...``, from a start and in a direction that equal outlines share.

    Equal are outlines that differ in where they begin and which way they run, and in nothing else: the order of the
    points stands. The numbers must be finite and even in count. Takes time linear in the points, however many repeat.
    """
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    return min(_least_rotation(points), _least_rotation(points[::-1]))


def points_outside(points: Points, size: Size, margin: float = 1.0) -> int:
    """How many points lie more than `margin` pixels outside an image of (H, W)."""
    height, width = size
    beyond = (points < -margin) | (points > np.array([width, height]) + margin)
    return int(beyond.any(axis=1).sum())


def misses(points: Points, size: Size) -> bool:
    """True when the outline's box has no part in common with an image of (H, W)."""
    height, width = size
    low, high = points.min(axis=0), points.max(axis=0)
    return bool((high <= 0).any() or low[0] >= width or low[1] >= height)


def outline_length(points: Points) -> float:
    """Sum over the edges of the longer of their two extents, in pixels: what a rasteriser walks along."""
    return float(np.abs(np.roll(points, -1, axis=0) - points).max(axis=1).sum())


def length_of_sound(outlines: Sequence[Points], size: Size) -> float:
    """The sum of `outline_length` over outlines of at least 3 points each; infinite when anything may be wrong with
    one: it is not finite, reaches beyond an image of `size` (H, W) by more than its side, misses it, or encloses hardly
    anything. Nothing is called sound that the other functions here find fault with.
    """
    if not outlines:
        return 0.0
    counts = np.array([len(points) for points in outlines])
    ends = np.cumsum(counts)
    starts = ends - counts
    points = np.concatenate(outlines)
    if not np.isfinite(points).all():
        return np.inf
    side = np.array([size[1], size[0]], dtype=np.float64)
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    spread = (high - low).max(axis=1)
    if (low < -side).any() or (high > 2 * side).any() or (high <= 0).any() or (low >= side).any() or not spread.all():
        return np.inf
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = starts
    x, y = (points - np.repeat(low, counts, axis=0)).T
    twice = np.abs(np.add.reduceat(x * y[following] - y * x[following], starts))
    if (twice <= 1e-6 * spread**2).any():
        return np.inf
    return float(np.abs(points[following] - points).max(axis=1).sum())


def first_crossing(points: Points) -> tuple[int, int] | None:
    """Two edges (numbers i < j; edge i goes from point i to the next one) that cross, or None.

    Only proper crossings count: touching edges, repeated points and edges that run along each other do not. Edges are
    sorted along the axis on which fewer of them overlap, and each is held against those that begin within it.
    Raises `TooManyPairsError` when none of the first 5 million pairs cross and more remain.
    """
    spread = float(np.ptp(points, axis=0).max())
    if len(points) < 4 or spread == 0.0:
        return None
    start = (points - points.min(axis=0)) / spread
    end = np.roll(start, -1, axis=0)
    orders = [_sweep(start[:, axis], end[:, axis]) for axis in (0, 1)]
    order, last = min(orders, key=_pairs)
    start, end = start[order], end[order]
    counts = last - np.arange(1, len(last) + 1)
    ends = np.cumsum(counts)
    examined = min(int(ends[-1]), _MOST_PAIRS)
    for first in range(0, examined, _CHUNK):
        pair = np.arange(first, min(first + _CHUNK, examined))
        left = np.searchsorted(ends, pair, side="right")
        right = left + 1 + pair - (ends - counts)[left]
        crossing = np.flatnonzero(_cross(start[left], end[left], start[right], end[right]))
        if crossing.size:
            one, other = int(order[left[crossing[0]]]), int(order[right[crossing[0]]])
            return (min(one, other), max(one, other))
    if examined < ends[-1]:
        raise TooManyPairsError(f"{len(points)} edges")
    return None


def _least_rotation(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The rotation that sorts first, by two candidates of which the greater one skips all that it was compared on.

    Y. Shiloach, Fast canonization of circular strings, Journal of Algorithms 2:107, 1981.
    """
    count, one, other, equal = len(points), 0, 1, 0
    while one < count and other < count and equal < count:
        left, right = points[(one + equal) % count], points[(other + equal) % count]
        if left == right:
            equal += 1
            continue
        if left > right:
            one += equal + 1
        else:
            other += equal + 1
        other += one == other
        equal = 0
    start = min(one, other)
    return (*points[start:], *points[:start])


_Order = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def _sweep(start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]) -> _Order:
    """The edges by their lower end, and for each the place of the first that begins beyond it."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    order = np.argsort(low, kind="stable")
    return order, np.searchsorted(low[order], high[order], side="left").clip(np.arange(1, len(order) + 1))


def _pairs(order: _Order) -> int:
    return int((order[1] - np.arange(1, len(order[1]) + 1)).sum())


def _cross(a: Points, b: Points, c: Points, d: Points) -> npt.NDArray[np.bool_]:
    """For each row: does the edge a-b cross the edge c-d, each with its ends on either side of the other?"""
    return (_side(a, b, c) * _side(a, b, d) < 0) & (_side(c, d, a) * _side(c, d, b) < 0)


def _side(a: Points, b: Points, c: Points) -> npt.NDArray[np.float64]:
    """+1, -1, or 0 where c lies on the line a-b but for rounding (coordinates are scaled to 1)."""
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return np.where(np.abs(turn) < 1e-12, 0.0, np.sign(turn))
