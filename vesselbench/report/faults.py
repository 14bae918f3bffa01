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
    missed = [fault for fault in _missed(predicted, reference) if fault.size >= shortest]
    return Faults(tuple(_largest_first(missed)), tuple(_largest_first(_bridges(predicted, reference))), shortest)


def _missed(predicted: BoolMask, reference: BoolMask) -> list[Fault]:
    from scipy.ndimage import distance_transform_edt
    from skimage.morphology import skeletonize

    line = skeletonize(np.ascontiguousarray(reference))
    if predicted.any():
        line &= distance_transform_edt(~predicted) > SLACK
    return _pieces(line)


def _bridges(predicted: BoolMask, reference: BoolMask) -> list[Fault]:
    from scipy.ndimage import find_objects, label

    around = np.ones((3, 3), dtype=int)
    components, many = label(reference, around)
    if many < 2:
        return []
    pieces, _ = label(predicted & ~reference, around)
    found = []
    for number, window in enumerate(find_objects(pieces), 1):
        rows, columns = (slice(max(0, side.start - 1), side.stop + 1) for side in window)
        piece = pieces[rows, columns] == number
        touched = components[rows, columns][_grown(piece)]
        if len(np.unique(touched[touched > 0])) > 1:
            middle = np.argwhere(piece).mean(axis=0)
            place = (float(middle[0] + rows.start), float(middle[1] + columns.start))
            found.append(Fault(place, int(piece.sum())))
    return found


def _grown(mask: BoolMask) -> BoolMask:
    from scipy.ndimage import binary_dilation

    grown: BoolMask = binary_dilation(mask, np.ones((3, 3), bool))
    return grown


def _pieces(mask: BoolMask) -> list[Fault]:
    from scipy.ndimage import find_objects, label

    pieces, _ = label(mask, np.ones((3, 3), dtype=int))
    found = []
    for number, window in enumerate(find_objects(pieces), 1):
        places = np.argwhere(pieces[window] == number)
        middle = places[len(places) // 2]  # a pixel of the piece itself: the mean of a curved one lies beside it
        place = (float(middle[0] + window[0].start), float(middle[1] + window[1].start))
        found.append(Fault(place, len(places)))
    return found


def _largest_first(faults: list[Fault]) -> list[Fault]:
    return sorted(faults, key=lambda fault: (-fault.size, fault.place))


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
