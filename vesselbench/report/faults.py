"""Faults that pixels hide: branches that were missed and bridges that are not there (scipy and scikit-image)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vesselbench.types import BoolMask

SLACK = 2.0
"""Pixels beside a centre line within which a prediction still counts as having found it: a shifted outline is no
missed branch."""
SHORTEST = 10
"""Pixels of centre line from which a missed piece is a branch; on large images 2 % of the longer side."""
EIGHT = np.ones((3, 3), dtype=int)
"""Neighbours of a pixel: all eight."""
Place = tuple[float, float]


@dataclass(frozen=True)
class Fault:
    """One fault: `place` (row, column) of its middle, and its size: pixels of centre line, or pixels of area."""

    place: Place
    size: int


@dataclass(frozen=True)
class Faults:
    """Faults of one prediction, largest first. `shortest`: the length from which a missed piece is counted."""

    missed: tuple[Fault, ...]
    bridges: tuple[Fault, ...]
    shortest: int

    def said(self) -> str:
        """In words, for a caption."""
        longest = f" (longest {self.missed[0].size} px)" if self.missed else ""
        return f"{_count(len(self.missed), 'missed branch', 'missed branches')}{longest}, " + _count(
            len(self.bridges), "false bridge", "false bridges"
        )


def find_faults(predicted: BoolMask, reference: BoolMask) -> Faults:
    """Missed branches and false bridges of a prediction; both masks [H,W] inside the field of view.

    A missed branch is an 8-connected piece of the reference's centre line (Zhang and Suen's thinning) no pixel of
    which has a predicted pixel within `SLACK`, of at least `shortest` pixels. A false bridge is an 8-connected piece
    of false positives that touches at least two 8-connected components of the reference.
    """
    shortest = max(SHORTEST, round(0.02 * max(reference.shape)))
    missed = _missed(predicted, reference, shortest)
    return Faults(tuple(_largest_first(missed)), tuple(_largest_first(_bridges(predicted, reference))), shortest)


def _missed(predicted: BoolMask, reference: BoolMask, shortest: int) -> list[Fault]:
    from scipy.ndimage import find_objects, label
    from skimage.morphology import skeletonize

    rows, columns = np.nonzero(skeletonize(np.ascontiguousarray(reference)))
    reach = int(SLACK)
    around = np.pad(predicted, reach)
    found_at = np.zeros(len(rows), bool)
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if down * down + right * right <= SLACK * SLACK:
                found_at |= around[rows + reach + down, columns + reach + right]
    line = np.zeros(reference.shape, bool)
    line[rows[~found_at], columns[~found_at]] = True
    pieces, _ = label(line, EIGHT)
    windows, sizes = find_objects(pieces), np.bincount(pieces.ravel())
    faults = []
    for number in np.flatnonzero(sizes[1:] >= shortest) + 1:
        window = windows[number - 1]
        places = np.argwhere(pieces[window] == number)
        middle = places[len(places) // 2]  # a pixel of the piece itself: the mean of a curved one lies beside it
        place = (float(middle[0] + window[0].start), float(middle[1] + window[1].start))
        faults.append(Fault(place, len(places)))
    return faults


def _bridges(predicted: BoolMask, reference: BoolMask) -> list[Fault]:
    """All pieces at once: on a noisy prediction there are ten thousand, most of one pixel."""
    from scipy.ndimage import label

    components, many = label(reference, EIGHT)
    if many < 2:
        return []
    pieces, count = label(predicted & ~reference, EIGHT)
    rows, columns = np.nonzero(pieces)
    piece, near = pieces[rows, columns].astype(np.int64), np.pad(components, 1)
    touching = []
    for down in range(3):
        for right in range(3):
            touched = near[rows + down, columns + right]
            touching.append((piece * (many + 1) + touched)[touched > 0])
    touched_by = np.bincount(np.unique(np.concatenate(touching)) // (many + 1), minlength=count + 1)
    sizes = np.bincount(piece, minlength=count + 1)
    sums = [np.bincount(piece, side, minlength=count + 1) for side in (rows, columns)]
    return [
        Fault((float(sums[0][number] / sizes[number]), float(sums[1][number] / sizes[number])), int(sizes[number]))
        for number in np.flatnonzero(touched_by > 1)
    ]


def _largest_first(faults: list[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: (-fault.size, fault.place))


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
