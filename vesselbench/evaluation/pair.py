"""Prediction and reference of one image, and what several metrics need of the two: each computed once.

Thinning a mask to its centre lines prefers some directions, and so does the choice of the nearest of two equally near
points. So that a turned or mirrored image scores the same, both masks are first brought into one of the eight positions
that they can be turned and mirrored into: the one whose reference, read row by row, comes first. All lines, distances
and zones are measured there. scipy and scikit-image are imported when they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vesselbench.config import MetricOptions
from vesselbench.data.limits.nearest import boundary_of, distances_to, places_of
from vesselbench.errors import UserError
from vesselbench.evaluation.policy import Case, inside
from vesselbench.types import BoolMask, Example, Prediction

if TYPE_CHECKING:
    from vesselbench.data.limits.widths import Overlap, Vessels

Spacing = tuple[float, float]
TURNS = range(8)
AT_ONCE = 64
"""Rows of a mask that are compared at once."""


@dataclass(frozen=True)
class Counts:
    """Pixels inside the field of view: predicted and there, predicted only, there only, neither."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def case(self) -> Case:
        """Which of the two masks has no foreground."""
        if self.tp + self.fp:
            return "ok" if self.tp + self.fn else "empty_reference"
        return "empty_prediction" if self.tp + self.fn else "both_empty"


class Reference:
    """The reference of one image inside the field of view; one object serves any number of predictions.

    Raises UserError for a sample without spacing when `options` count in millimetres, ValueError for one without mask.
    """

    def __init__(self, example: Example, options: MetricOptions) -> None:
        if example.mask is None:
            raise ValueError(f"sample {example.sample.id!r} has no mask")
        if example.fov is not None and not example.fov.any():
            raise ValueError(f"the field of view of {example.sample.id!r} is empty")
        self.example, self.options = example, options
        self.plain: BoolMask = example.mask if example.fov is None else example.mask & example.fov
        self.pixels = inside(example.mask, example.fov)
        """bool [N], inside the field of view in row order"""
        self.image_spacing = spacing_of(example, options)

    @cached_property
    def turns(self) -> list[int]:
        """The positions in which the reference comes first; several only when it is symmetrical."""
        height, width = self.plain.shape
        frames = {}
        for turn in TURNS:
            exchanged = _exchanges(turn)
            shape = (width, height) if exchanged else (height, width)
            frames[turn] = (shape, self.image_spacing[::-1] if exchanged else self.image_spacing)
        turns = [turn for turn, frame in frames.items() if frame == min(frames.values())]
        rows = frames[turns[0]][0][0]
        for top in range(0, rows, AT_ONCE):  # the first rows decide, where the mask is not symmetrical
            keys = {turn: np.packbits(_turned(self.plain, turn)[top : top + AT_ONCE]).tobytes() for turn in turns}
            turns = [turn for turn in turns if keys[turn] == min(keys.values())]
            if len(turns) == 1:
                break
        return turns

    @cached_property
    def mask(self) -> BoolMask:
        """The reference in its first position, bool [H,W] or [W,H]."""
        return turned(self.plain, self.turns[0])

    @cached_property
    def spacing(self) -> Spacing:
        """Distance between rows and between columns of `mask`, in the unit of the options."""
        return self.image_spacing[::-1] if _exchanges(self.turns[0]) else self.image_spacing

    @cached_property
    def vessels(self) -> Vessels:
        """Centre line and zones of width."""
        from vesselbench.data.limits.widths import measure_vessels

        return measure_vessels(self.mask, self.options.width_edges, self.spacing)

    @cached_property
    def boundary(self) -> BoolMask:
        """The boundary pixels of `mask`."""
        return boundary_of(self.mask)

    @cached_property
    def betti(self) -> tuple[int, int]:
        """Numbers of components and of holes."""
        return betti_numbers(self.plain)


class MaskPair:
    """A prediction at its own threshold against a reference.

    Raises ValueError when they differ in size or belong to unlike samples.
    """

    def __init__(self, prediction: Prediction, reference: Reference) -> None:
        example = reference.example
        mask = prediction.mask()
        if mask.shape != reference.plain.shape:
            raise ValueError(f"prediction {mask.shape} against mask {reference.plain.shape} of {example.sample.id!r}")
        self.prediction, self.reference = prediction, reference
        self.whole: BoolMask = mask
        """The predicted mask, also outside the field of view."""
        self.plain: BoolMask = mask if example.fov is None else mask & example.fov

    @classmethod
    def of(cls, prediction: Prediction, example: Example, options: MetricOptions) -> MaskPair:
        """The pair of a prediction and an example (errors as `Reference` and this class)."""
        return cls(prediction, Reference(example, options))

    @cached_property
    def counts(self) -> Counts:
        """The confusion matrix, exact for images of any size."""
        pixels = self.reference.pixels
        predicted = inside(self.whole, self.reference.example.fov)
        hits, drawn, there = (int(np.count_nonzero(mask)) for mask in (predicted & pixels, predicted, pixels))
        return Counts(hits, drawn - hits, there - hits, pixels.size - drawn - there + hits)

    @cached_property
    def mask(self) -> BoolMask:
        """The predicted mask in the reference's first position; of several the one in which it comes first itself."""
        masks = [turned(self.plain, turn) for turn in self.reference.turns]
        return min(masks, key=lambda mask: np.packbits(mask).tobytes()) if len(masks) > 1 else masks[0]

    @cached_property
    def line(self) -> BoolMask:
        """The centre line of the prediction."""
        from vesselbench.data.limits.widths import centre_line

        return centre_line(self.mask)

    @cached_property
    def topology(self) -> tuple[float, float]:
        """Topology precision and sensitivity of two masks that are not empty."""
        line = self.reference.vessels.line
        return float(self.reference.mask[self.line].mean()), float(self.mask[line].mean())

    @cached_property
    def by_width(self) -> list[Overlap | None]:
        """Overlaps within the zone of each width; None where the reference has no vessel of it."""
        from vesselbench.data.limits.widths import overlaps_by_width

        return overlaps_by_width(self.reference.vessels, self.mask, line=self.line)

    @cached_property
    def distances(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """From each boundary pixel of the prediction to the nearest of the reference's, and the other way round; of
        two masks that are not empty, in the unit of the options.
        """
        ours, theirs, spacing = boundary_of(self.mask), self.reference.boundary, self.reference.spacing
        return distances_to(theirs, places_of(ours), spacing), distances_to(ours, places_of(theirs), spacing)

    @cached_property
    def betti(self) -> tuple[int, int]:
        """Numbers of components and of holes of the prediction."""
        return betti_numbers(self.plain)

    @cached_property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """float32 [N], inside the field of view in row order, as `Reference.pixels`."""
        fov = self.reference.example.fov
        probability = self.prediction.probability
        return probability.reshape(-1) if fov is None else probability[fov]

    @cached_property
    def calibration(self) -> dict[str, list[float]]:
        """Per equally wide bin of the probability: number of pixels, sum of probabilities, number of vessel pixels.

        A bin holds its lower end; the last one holds 1 as well.
        """
        bins = self.reference.options.calibration_bins
        values = self.probabilities.astype(np.float64)
        places = np.minimum((values * bins).astype(np.intp), bins - 1)
        sums = (
            np.bincount(places, minlength=bins),
            np.bincount(places, values, bins),
            np.bincount(places[self.reference.pixels], minlength=bins),
        )
        return dict(zip(("count", "probability", "vessel"), (one.astype(float).tolist() for one in sums), strict=True))


def spacing_of(example: Example, options: MetricOptions) -> Spacing:
    """Distance between rows and between columns in the unit of the options; UserError when it is not known."""
    if options.unit == "px":
        return (1.0, 1.0)
    if example.sample.spacing is None:
        raise UserError(
            f"sample {example.sample.id!r} states no spacing, and evaluation.options.unit is mm",
            "set evaluation.options.unit=px, or give every sample its spacing",
        )
    return example.sample.spacing


def turned(mask: BoolMask, turn: int) -> BoolMask:
    """The mask in one of the eight positions; 0 is as it is."""
    return np.ascontiguousarray(_turned(mask, turn))


def _turned(mask: BoolMask, turn: int) -> BoolMask:
    """The same, as a view."""
    rotated = np.rot90(mask, turn % 4)
    return rotated.T if turn >= 4 else rotated


def _exchanges(turn: int) -> bool:
    """Whether rows become columns."""
    return (turn % 2 == 1) != (turn >= 4)


def betti_numbers(mask: BoolMask) -> tuple[int, int]:
    """Components (8-connected), and holes: 4-connected parts of the rest that do not reach beyond the image."""
    from scipy.ndimage import label

    components = int(label(mask, np.ones((3, 3), int))[1])
    surrounded = np.pad(~mask, 1, constant_values=True)
    return components, int(label(surrounded)[1]) - 1
