"""Centre lines and widths of vessels, and the scores that go by them: Dice and clDice, per width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize

from vesselbench.data.limits.nearest import distances_to, places_of, rim_of
from vesselbench.types import BoolMask

EDGES = (2.0, 3.0, 4.0, 6.0, 9.0)
"""Upper ends of the width bins in pixels, inclusive; the last bin has none."""


def bin_names() -> list[str]:
    """Readable names of the bins, from thin to wide."""
    lows = ["0", *(f"{edge:g}" for edge in EDGES[:-1])]
    inner = [f"{low}-{edge:g} px" for low, edge in zip(lows, EDGES, strict=True)]
    return [f"up to {EDGES[0]:g} px", *inner[1:], f"over {EDGES[-1]:g} px"]


def centre_line(mask: BoolMask) -> BoolMask:
    """The skeleton of a mask, bool [H,W], one pixel wide and 8-connected (Zhang and Suen 1984, by scikit-image)."""
    line: BoolMask = skeletonize(mask, method="zhang")
    return line


def line_widths(mask: BoolMask, line: BoolMask, spacing: tuple[float, float] = (1.0, 1.0)) -> npt.NDArray[np.float64]:
    """At each pixel of `line`, twice the distance to the nearest edge of the mask; float64 [N], in row order.

    On the centre line of a straight strip along an axis this is the strip's width exactly, even or odd: the distance
    is taken on a grid of half pixels, of which each pixel keeps the largest. The image's border is no edge; where there
    is none, the width is the image's shorter side. `spacing`: between rows and between columns, and the widths' unit.
    """
    if mask.all():
        shorter = min(side * step for side, step in zip(mask.shape, spacing, strict=True))
        return np.full(np.count_nonzero(line), shorter)
    rim = rim_of(mask)  # the nearest point outside always lies beside the mask
    nearest = distances_to(np.repeat(np.repeat(rim, 2, axis=0), 2, axis=1), _quarters(line), spacing)
    widths: npt.NDArray[np.float64] = nearest.reshape(-1, 4).max(axis=1)
    return widths


def _quarters(pixels: BoolMask) -> npt.NDArray[np.int64]:
    """Places of the four quarters of each pixel, one after the other, on a grid of half pixels; [4N,2]."""
    corners = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    places: npt.NDArray[np.int64] = (2 * places_of(pixels)[:, None, :] + corners).reshape(-1, 2)
    return places


@dataclass(frozen=True)
class Vessels:
    """A reference with its centre line; `zones` int8 [H,W]: bin of the nearest centre-line pixel, -1 without any."""

    mask: BoolMask
    line: BoolMask
    zones: npt.NDArray[np.int8]
    bins: int = len(EDGES) + 1


def measure_vessels(
    mask: BoolMask, edges: Sequence[float] = EDGES, spacing: tuple[float, float] = (1.0, 1.0)
) -> Vessels:
    """Centre line and zones of a reference mask, bool [H,W]; `edges` in the unit of `spacing`.

    Every pixel of the image belongs to the zone of the nearest centre-line pixel's width, so that a false pixel is
    counted with the vessel it lies beside.
    """
    line = centre_line(mask)
    if not line.any():
        return Vessels(mask, line, np.full(mask.shape, -1, np.int8), len(edges) + 1)
    bins = np.zeros(mask.shape, np.int8)
    bins[line] = np.searchsorted(np.asarray(edges), line_widths(mask, line, spacing))
    rows, columns = distance_transform_edt(~line, sampling=spacing, return_distances=False, return_indices=True)
    return Vessels(mask, line, bins[rows, columns], len(edges) + 1)


@dataclass(frozen=True)
class Overlap:
    """Dice, clDice, recall and precision in [0,1]; `pixels`: centre-line pixels of the reference."""

    dice: float
    cldice: float
    pixels: int
    recall: float
    precision: float


def overlap(reference: Vessels, predicted: BoolMask, inside: BoolMask | None = None) -> Overlap:
    """Dice and clDice of a prediction, over the pixels `inside` (all when None); all masks bool [H,W].

    clDice: Shit et al. 2021, eq. 1-3: the harmonic mean of the share of the predicted centre line inside the reference
    and of the reference's centre line inside the prediction. Both masks empty: 1 and 1; one of them: 0 and 0.
    """
    return _overlap(reference, predicted, centre_line(predicted), inside)


def overlaps_by_width(
    reference: Vessels, predicted: BoolMask, inside: BoolMask | None = None, line: BoolMask | None = None
) -> list[Overlap | None]:
    """`overlap` within each zone; None where the reference has no vessel of that width inside.

    `line`: the centre line of `predicted`, where it is known.
    """
    drawn = centre_line(predicted) if line is None else line
    found: list[Overlap | None] = []
    for number in range(reference.bins):
        zone = reference.zones == number if inside is None else (reference.zones == number) & inside
        present = bool((reference.line & zone).any())
        found.append(_overlap(reference, predicted, drawn, zone) if present else None)
    return found


def _overlap(reference: Vessels, predicted: BoolMask, line: BoolMask, inside: BoolMask | None) -> Overlap:
    def count(mask: BoolMask) -> int:
        return int(np.count_nonzero(mask if inside is None else mask & inside))

    pixels, there, drawn = count(reference.line), count(reference.mask), count(predicted)
    if not there + drawn:
        return Overlap(1.0, 1.0, pixels, 1.0, 1.0)
    both = count(predicted & reference.mask)
    recall, precision = both / there if there else 0.0, both / drawn if drawn else 0.0
    dice, lines = 2 * both / (there + drawn), count(line)
    if not lines or not pixels:
        return Overlap(dice, 0.0, pixels, recall, precision)
    shares = count(line & reference.mask) / lines, count(reference.line & predicted) / pixels
    return Overlap(dice, 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0, pixels, recall, precision)
