"""Segmenters that learn nothing: Otsu's threshold and Frangi's filter, by scikit-image, on the green channel.

What they cannot know (whether vessels are dark or bright, how wide they are, where to cut the response) is chosen on
images of the validation set by mean Dice. Outside the field of view they see its nearest pixel and predict nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vesselbench.evaluation.metrics import Dice
from vesselbench.evaluation.pool import map_in_order
from vesselbench.evaluation.score import score
from vesselbench.evaluation.threshold import THRESHOLDS, choose_threshold, values_at_thresholds
from vesselbench.ridges import BRIGHTEST, ridge_response
from vesselbench.types import BoolMask, Example, Prediction

SIGMAS = ((1.0, 2.0), (2.0, 3.0, 4.0), (3.0, 5.0, 7.0))
"""Scales in pixels among which Frangi's are chosen."""


class Segmenter(Protocol):
    """A filter whose settings are fixed."""

    @property
    def words(self) -> str:
        """What it does, in a sentence."""
        ...

    def mask(self, example: Example) -> BoolMask:
        """The vessels of an image, bool [H,W]."""
        ...


@dataclass(frozen=True)
class Otsu:
    """One threshold per image, between the two classes of grey value that it separates best (Otsu 1979)."""

    dark: bool

    @property
    def words(self) -> str:
        return f"Otsu's threshold of the green channel; vessels are the {'dark' if self.dark else 'bright'} side."

    def mask(self, example: Example) -> BoolMask:
        from skimage.filters import threshold_otsu

        green = example.image[..., 1]
        inside = green if example.fov is None else green[example.fov]
        level = threshold_otsu(inside)
        mask: BoolMask = green <= level if self.dark else green > level
        return _within(mask, example)


@dataclass(frozen=True)
class Frangi:
    """The response to ridges (Frangi et al. 1998, scikit-image's default weights), cut at a share of its height."""

    dark: bool
    sigmas: tuple[float, ...]
    threshold: float = 0.5

    @property
    def words(self) -> str:
        scales, kind = ", ".join(f"{sigma:g}" for sigma in self.sigmas), "dark" if self.dark else "bright"
        return (
            f"Frangi's filter for {kind} ridges of the green channel at scales of {scales} px; its square root cut at "
            f"{self.threshold:g} of the {BRIGHTEST:g}th percentile."
        )

    def response(self, example: Example) -> npt.NDArray[np.float32]:
        """See `ridge_response`."""
        green = example.image[..., 1].astype(np.float32) / np.float32(255)
        return ridge_response(green, example.fov, self.sigmas, self.dark)

    def mask(self, example: Example) -> BoolMask:
        return _within(Prediction("", self.response(example), threshold=self.threshold).mask(), example)


def choose_otsu(examples: Sequence[Example]) -> Otsu:
    """The side with the higher mean Dice on the examples."""
    return max((Otsu(dark) for dark in (True, False)), key=lambda one: fmean(_dice(one.mask, examples)))


def choose_frangi(examples: Sequence[Example]) -> Frangi:
    """Side, then scales, each with its threshold, with the highest mean Dice on the examples."""
    sides = [_with_threshold(Frangi(dark, SIGMAS[-1]), examples) for dark in (True, False)]
    dark = max(sides, key=lambda one: one[0])[1].dark
    scales = [_with_threshold(Frangi(dark, sigmas), examples) for sigmas in SIGMAS[:-1]]
    return max([*sides, *scales], key=lambda one: one[0])[1]


def find_setting(definition: str) -> Segmenter | None:
    """The filter, among all that can be chosen, whose words `definition` begins with; None without one."""
    sides = (True, False)
    frangis = [Frangi(dark, sigmas, cut) for dark in sides for sigmas in SIGMAS for cut in THRESHOLDS]
    settings: list[Segmenter] = [*map(Otsu, sides), *frangis]
    return next((one for one in settings if definition.startswith(one.words)), None)


def _with_threshold(candidate: Frangi, examples: Sequence[Example]) -> tuple[float, Frangi]:
    """Mean Dice at the best threshold, and the filter with that threshold."""
    values = list(map_in_order(lambda e: _at_thresholds(candidate, e), examples))
    threshold = choose_threshold(values, "higher")
    place = THRESHOLDS.index(threshold)
    return fmean(image[place] or 0.0 for image in values), replace(candidate, threshold=threshold)


def _at_thresholds(candidate: Frangi, example: Example) -> list[float | None]:
    prediction = Prediction(example.sample.id, candidate.response(example))
    return values_at_thresholds(prediction, example, Dice())


def _dice(mask_of: Callable[[Example], BoolMask], examples: Sequence[Example]) -> list[float]:
    dice = Dice()
    predictions = [Prediction(e.sample.id, mask_of(e).astype(np.float32), graded=False) for e in examples]
    rows = [score(prediction, e, [dice]) for prediction, e in zip(predictions, examples, strict=True)]
    return [row.values["dice"] or 0.0 for row in rows]


def _within(mask: BoolMask, example: Example) -> BoolMask:
    return mask if example.fov is None else mask & example.fov
