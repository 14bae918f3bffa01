"""How far it is to the nearest pixel of a mask, from a few places only: cheaper than from every pixel of the image."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from vesselbench.types import BoolMask

Places = npt.NDArray[np.int64]
REACH = 8
"""Pixels up to which all neighbours are looked at one after the other; beyond, a tree is searched."""


def places_of(mask: BoolMask) -> Places:
    """Row and column of each pixel of a mask, int64 [N,2] in row order (numpy's argwhere takes ten times as long)."""
    return np.stack(np.divmod(np.flatnonzero(mask), mask.shape[1]), axis=1).astype(np.int64, copy=False)


def boundary_of(mask: BoolMask) -> BoolMask:
    """The pixels of a mask that have one of their four neighbours outside of it; outside the image counts so."""
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return mask & ~inner


def rim_of(mask: BoolMask) -> BoolMask:
    """The pixels outside of a mask that have one of their four neighbours in it."""
    near = np.zeros_like(mask)
    near[1:] |= mask[:-1]
    near[:-1] |= mask[1:]
    near[:, 1:] |= mask[:, :-1]
    near[:, :-1] |= mask[:, 1:]
    return near & ~mask


def distances_to(mask: BoolMask, places: Places, spacing: tuple[float, float] = (1.0, 1.0)) -> npt.NDArray[np.float64]:
    """From each of `places` (rows and columns) to the nearest pixel of `mask` bool [H,W], which is not empty, in the
    unit of `spacing`; exact, float64 [N].

    In pixels, boundaries that lie close together are measured by looking around each place, ring after ring.
    """
    if spacing != (1.0, 1.0):
        return _by_tree(mask, places, spacing)
    found = np.empty(len(places))
    around, width = np.pad(mask, REACH).reshape(-1), mask.shape[1] + 2 * REACH
    spots, left = (places[:, 0] + REACH) * width + places[:, 1] + REACH, np.arange(len(places))
    for distance, steps in _rings():
        if not left.size:
            return found
        hit = around[spots + (steps[0][0] * width + steps[0][1])]
        for down, right in steps[1:]:
            hit |= around[spots + (down * width + right)]
        found[left[hit]] = distance
        spots, left = spots[~hit], left[~hit]
    if left.size:
        found[left] = _by_tree(mask, places[left], spacing)
    return found


def _by_tree(mask: BoolMask, places: Places, spacing: tuple[float, float]) -> npt.NDArray[np.float64]:
    from scipy.spatial import KDTree

    step = np.asarray(spacing)
    found: npt.NDArray[np.float64] = KDTree(places_of(mask) * step, leafsize=32).query(places * step)[0]
    return found


@lru_cache(maxsize=1)
def _rings() -> list[tuple[float, list[tuple[int, int]]]]:
    """Distances up to `REACH`, rising, each with the steps that are so long."""
    return list(_ring_by_ring())


def _ring_by_ring() -> Iterator[tuple[float, list[tuple[int, int]]]]:
    reach = range(-REACH, REACH + 1)
    steps = [(down, right) for down in reach for right in reach]
    for square in sorted({down**2 + right**2 for down, right in steps}):
        if square <= REACH**2:
            yield square**0.5, [(down, right) for down, right in steps if down**2 + right**2 == square]
