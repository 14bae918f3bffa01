"""Centre lines and widths of vessels, and the scores that go by them: Dice and clDice, per width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize

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


def local_widths(mask: BoolMask) -> npt.NDArray[np.float32]:
    """At each pixel of the mask, twice the distance in pixels to the nearest edge; float32 [H,W], 0 outside.

    On the centre line of a straight strip along an axis this is the strip's width exactly, even or odd: the distance
    is taken on a grid of half pixels, of which each pixel keeps the largest. The image's border is no edge.
    """
    height, width = mask.shape
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    if mask.all():
        return np.full(mask.shape, float(min(height, width)), np.float32)
    fine = distance_transform_edt(np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1))
    blocks: npt.NDArray[np.float32] = fine.reshape(height, 2, width, 2).max(axis=(1, 3)).astype(np.float32)
    return blocks


@dataclass(frozen=True)
class Vessels:
    """A reference with its centre line; `zones` int8 [H,W]: bin of the nearest centre-line pixel, -1 without any."""

    mask: BoolMask
    line: BoolMask
    zones: npt.NDArray[np.int8]


def measure_vessels(mask: BoolMask) -> Vessels:
    """Centre line and zones of a reference mask, bool [H,W].

    Every pixel of the image belongs to the zone of the nearest centre-line pixel's width, so that a false pixel is
    counted with the vessel it lies beside.
    """
    line = centre_line(mask)
    if not line.any():
        return Vessels(mask, line, np.full(mask.shape, -1, np.int8))
    bins = np.searchsorted(np.array(EDGES, np.float32), local_widths(mask)).astype(np.int8)
    rows, columns = distance_transform_edt(~line, return_distances=False, return_indices=True)
    return Vessels(mask, line, bins[rows, columns])


@dataclass(frozen=True)
class Overlap:
    """Dice and clDice in [0,1]; `pixels`: centre-line pixels of the reference."""

    dice: float
    cldice: float
    pixels: int


def overlap(reference: Vessels, predicted: BoolMask, inside: BoolMask | None = None) -> Overlap:
    """Dice and clDice of a prediction, over the pixels `inside` (all when None); all masks bool [H,W].

    clDice: Shit et al. 2021, eq. 1-3: the harmonic mean of the share of the predicted centre line inside the reference
    and of the reference's centre line inside the prediction. Both masks empty: 1 and 1; one of them: 0 and 0.
    """
    return _overlap(reference, predicted, centre_line(predicted), inside)


def overlaps_by_width(reference: Vessels, predicted: BoolMask, inside: BoolMask | None = None) -> list[Overlap | None]:
    """`overlap` within each zone; None where the reference has no vessel of that width inside."""
    line = centre_line(predicted)
    found: list[Overlap | None] = []
    for number in range(len(EDGES) + 1):
        zone = reference.zones == number if inside is None else (reference.zones == number) & inside
        present = bool((reference.line & zone).any())
        found.append(_overlap(reference, predicted, line, zone) if present else None)
    return found


def _overlap(reference: Vessels, predicted: BoolMask, line: BoolMask, inside: BoolMask | None) -> Overlap:
    def count(mask: BoolMask) -> int:
        return int(np.count_nonzero(mask if inside is None else mask & inside))

    pixels = count(reference.line)
    either = count(predicted) + count(reference.mask)
    if not either:
        return Overlap(1.0, 1.0, pixels)
    dice = 2 * count(predicted & reference.mask) / either
    drawn = count(line)
    if not drawn or not pixels:
        return Overlap(dice, 0.0, pixels)
    precision, sensitivity = count(line & reference.mask) / drawn, count(reference.line & predicted) / pixels
    both = precision + sensitivity
    return Overlap(dice, 2 * precision * sensitivity / both if both else 0.0, pixels)
