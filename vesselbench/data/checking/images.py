"""What can be odd about an image file that decodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from vesselbench.data.findings import Finding, Place, found
from vesselbench.data.images import DEEP_MODES, open_image, orientation_of, read_image
from vesselbench.types import Size

Kind = Literal["grey", "coloured", "with an alpha channel"]
_SAMPLED = 97  # a prime step over the pixels: no pattern of the image hides behind it


@dataclass(frozen=True)
class ImageFacts:
    """What the checks of the whole set want to know of one image."""

    place: Place
    size: Size
    kind: Kind


@dataclass(frozen=True)
class ExaminedImage:
    """pixels: uint8 [H,W,3], upright."""

    pixels: npt.NDArray[np.uint8]
    facts: ImageFacts
    findings: tuple[Finding, ...]


def examine_image(path: Path, place: Place, sample: str) -> ExaminedImage:
    """Decode one image and look at it: turned-image, deep-image, flat-image.

    Raises UserError as `read_image` for one that cannot be used.
    """
    pixels = read_image(path)  # first: it refuses what is damaged
    with open_image(path) as image:
        mode, bands = image.mode, image.getbands()
        orientation = orientation_of(image, path)
    results: list[Finding] = []
    if orientation in range(2, 9):
        reason = f"EXIF orientation {orientation}: it is turned or mirrored before its annotation is laid over it"
        cure = "look whether the annotation fits; saving the image upright ends the doubt"
        results.append(found("turned-image", place, reason, cure, sample))
    if mode in DEEP_MODES:
        cure = "fine if meant; else save it with the window you want"
        results.append(found("deep-image", place, f"mode {mode}: mapped to 0..255 by its own range", cure, sample))
    if int(np.ptp(pixels)) == 0:
        reason = f"every pixel is {int(pixels.flat[0])}"
        results.append(found("flat-image", place, reason, "look at the image", sample))
    size = (int(pixels.shape[0]), int(pixels.shape[1]))
    return ExaminedImage(pixels, ImageFacts(place, size, _kind(pixels, "A" in bands)), tuple(results))


def _kind(pixels: npt.NDArray[np.uint8], alpha: bool) -> Kind:
    """Grey images stored in three channels are grey: what a model sees is the same. JPEG may be off by one or two."""
    if alpha:
        return "with an alpha channel"
    some = pixels.reshape(-1, 3)[::_SAMPLED].astype(np.int16)
    return "grey" if int(np.ptp(some, axis=1).max()) <= 2 else "coloured"
