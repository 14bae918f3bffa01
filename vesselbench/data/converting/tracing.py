"""Masks as polygons that decode to the same pixels: outlines along pixel edges, holes joined on by slits of no width.

An outline runs clockwise as it is seen (y points down) with the foreground on its right, along the lattice of pixel
corners. Foreground pixels that touch at a corner share an outline (components are 8-connected, holes 4-connected).
A hole becomes part of its outline by a horizontal slit, walked once in either direction: by the even-odd rule, which
COCO's rasteriser follows column by column, the slit covers nothing and the hole stays empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label
from skimage.measure import approximate_polygon

from vesselbench.data.geometry import encloses_nothing
from vesselbench.types import BoolMask, Polygons, Size

_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])  # east, south, west, north as (x, y)


@dataclass
class _Lattice:
    """Unit edges between foreground and background as a linked list. Node i stands at `at[i]`; `following[i]` is next.

    `fixed`: nodes that a simplification must keep, because two stretches of a slit begin or end there.
    """

    at: list[tuple[int, int]]
    following: list[int]
    fixed: set[int]

    def ring(self, start: int) -> list[int]:
        """The nodes from `start` until it comes again."""
        nodes, node = [start], self.following[start]
        while node != start:
            nodes.append(node)
            node = self.following[node]
        return nodes


def trace(mask: BoolMask, holes: bool = True, tolerance: float = 0.0) -> Polygons | None:
    """The outlines of a mask, bool [H,W], in pixels of its own size; None for an empty mask.

    With `holes` and a tolerance of 0, `masks.decode` of the outlines is the mask itself. Without `holes` they are
    filled. `tolerance`: how far, in pixels, an outline may leave the pixel edges so as to need fewer points (Douglas
    and Peucker, Cartographica 10:112, 1973); an outline that would enclose nothing stays exact.
    """
    if not mask.any():
        return None
    lattice = _edges(np.pad(mask, 1))
    outer, inner = _rings(lattice)
    if holes:
        _join(lattice, outer, inner, (int(mask.shape[0]), int(mask.shape[1])))
    parts = [_outline(lattice, nodes[0], tolerance) for nodes in outer]
    return Polygons(tuple(parts), (int(mask.shape[0]), int(mask.shape[1])))


def count_holes(mask: BoolMask) -> int:
    """Regions of background, joined at edges, that do not reach the border of the image."""
    return len(holes_of(mask)[1])


def holes_of(mask: BoolMask) -> tuple[npt.NDArray[np.int32], list[int]]:
    """(labels int32 [H,W] of the background regions, the labels of those that are holes)."""
    labels, count = label(~mask)
    rim = {int(value) for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]) for value in np.unique(side)}
    return labels, [number for number in range(1, count + 1) if number not in rim]


def _edges(padded: BoolMask) -> _Lattice:
    """All unit edges of a mask with a rim of background, linked in walking order."""
    inside = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])  # north, east, south, west
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])  # where the edge on that side of a pixel begins, (x, y)
    starts, turns = [], []
    for direction, neighbour in enumerate(neighbours):
        rows, columns = np.nonzero(inside & ~neighbour)
        starts.append(np.stack([columns, rows], axis=1) + corners[direction])
        turns.append(np.full(len(rows), direction, dtype=np.int64))
    start, turn = np.concatenate(starts), np.concatenate(turns)
    width = inside.shape[1] + 1
    key = (start[:, 1] * width + start[:, 0]) * 4 + turn
    order = np.argsort(key)
    start, turn, key = start[order], turn[order], key[order]
    end = start + _STEPS[turn]
    corner = (end[:, 1] * width + end[:, 0]) * 4
    following = np.full(len(key), -1)
    for bend in (1, 0, 3):  # right, straight on, left: the last that exists counts, so that corners hold together
        wanted = corner + (turn + bend) % 4
        place = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        following = np.where(key[place] == wanted, place, following)
    at = [(int(x), int(y)) for x, y in start.tolist()]
    return _Lattice(at, following.tolist(), set())


def _rings(lattice: _Lattice) -> tuple[list[list[int]], list[list[int]]]:
    """The rings around foreground, and those around holes, each from its leftmost and then topmost corner."""
    outer, inner = [], []
    seen = bytearray(len(lattice.at))
    for first in range(len(lattice.at)):
        if seen[first]:
            continue
        nodes = lattice.ring(first)
        for node in nodes:
            seen[node] = 1
        x, y = np.array([lattice.at[node] for node in nodes]).T
        twice_the_area = int(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
        if twice_the_area > 0:
            outer.append(nodes)
        else:
            begin = min(range(len(nodes)), key=lambda place: lattice.at[nodes[place]])
            inner.append(nodes[begin:] + nodes[:begin])
    return outer, inner


def _join(lattice: _Lattice, outer: list[list[int]], inner: list[list[int]], size: Size) -> None:
    """Splice every hole into the outline left of it.

    Holes come from left to right. Left of a hole's leftmost pixel lies foreground; the first corner of any ring that a
    walk to the left along its upper edge meets therefore belongs to the same component, and to its outline or to a hole
    that begins further left and is spliced in already.
    """
    node_at = np.full((size[0] + 1, size[1] + 1), -1, dtype=np.int64)

    def settle(nodes: list[int]) -> None:
        for node in nodes:
            x, y = lattice.at[node]
            node_at[y, x] = node

    for nodes in outer:
        settle(nodes)
    for nodes in sorted(inner, key=lambda nodes: lattice.at[nodes[0]]):
        first, last = nodes[0], nodes[-1]
        x, y = lattice.at[first]
        met = int(node_at[y, np.flatnonzero(node_at[y, :x] >= 0)[-1]])
        back, away = len(lattice.at), len(lattice.at) + 1  # the hole's corner and the outline's, on the way back
        lattice.at += [lattice.at[first], lattice.at[met]]
        lattice.following += [away, lattice.following[met]]
        lattice.following[met], lattice.following[last] = first, back
        lattice.fixed |= {met, first, back, away}
        settle(nodes)


def _outline(lattice: _Lattice, start: int, tolerance: float) -> tuple[float, ...]:
    nodes = lattice.ring(start)
    points = np.array([lattice.at[node] for node in nodes], dtype=np.float64)
    exact = _without_straight(points)
    if tolerance > 0:
        fixed = [place for place, node in enumerate(nodes) if node in lattice.fixed]
        simple = _without_straight(_simplified(points, fixed, tolerance))
        if len(simple) >= 3 and not encloses_nothing(simple):
            exact = simple
    return tuple(exact.ravel().tolist())


def _without_straight(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Without the points at which the outline goes straight on."""
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    kept: npt.NDArray[np.float64] = points[(turn != 0) | ((before * after).sum(axis=1) < 0)]
    return kept


def _simplified(points: npt.NDArray[np.float64], fixed: list[int], tolerance: float) -> npt.NDArray[np.float64]:
    """Each stretch between two fixed places on its own; a ring without any is cut at its first and farthest points."""
    if len(fixed) < 2:
        start = fixed[0] if fixed else 0
        farthest = int(np.abs(points - points[start]).sum(axis=1).argmax())
        fixed = sorted({start, farthest})
    points = np.roll(points, -fixed[0], axis=0)
    places = [place - fixed[0] for place in fixed] + [len(points)]
    closed = np.concatenate([points, points[:1]])
    stretches = [approximate_polygon(closed[first : last + 1], tolerance)[:-1] for first, last in pairwise(places)]
    return np.asarray(np.concatenate(stretches), dtype=np.float64)
