"""Pictures of one image: as it is, its reference, and where a prediction is right and wrong (numpy and Pillow)."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesselbench.types import BoolMask, Example

Rgb = npt.NDArray[np.uint8]

HIT = (250, 240, 170)
FALSE = (230, 97, 0)
MISSED = (66, 165, 255)
FIELD = (204, 121, 167)
"""True positive pale yellow, false positive orange, false negative blue, field of view purple: they stay apart in
every common kind of colour blindness, and in grey print by lightness."""
DIMMED = 0.5
"""Lightness of the grey image under the colours."""
SIDE = 480
"""Longest side of a picture in pixels."""


def plain_tile(example: Example) -> Rgb:
    """The image in its own colours [H,W,3], with the outline of the field of view."""
    return _outlined(example.image.copy(), example.fov)


def reference_tile(example: Example) -> Rgb:
    """The reference in the colour of a true positive over the dimmed grey image [H,W,3].

    Raises ValueError when the example has no mask.
    """
    picture = _dimmed(example.image)
    picture[counted_reference(example)] = HIT
    return _outlined(picture, example.fov)


def verdict_tile(example: Example, predicted: BoolMask) -> Rgb:
    """True and false positives and false negatives over the dimmed grey image [H,W,3].

    predicted: bool [H,W]. Only pixels inside the field of view are coloured, since only they count.
    Raises ValueError when the example has no mask or the sizes differ.
    """
    reference, counted = _reference(example), _counted(example)
    if predicted.shape != reference.shape:
        raise ValueError(f"prediction {predicted.shape} and reference {reference.shape} differ in size")
    picture = _dimmed(example.image)
    picture[predicted & reference & counted] = HIT
    picture[predicted & ~reference & counted] = FALSE
    picture[~predicted & reference & counted] = MISSED
    return _outlined(picture, example.fov)


def counted_reference(example: Example) -> BoolMask:
    """The reference inside the field of view, bool [H,W]; ValueError when the example has no mask."""
    return _reference(example) & _counted(example)


def count_pixels(example: Example, predicted: BoolMask) -> tuple[int, int, int]:
    """Numbers of true positive, false positive and false negative pixels inside the field of view."""
    reference, counted = _reference(example), _counted(example)
    parts = (predicted & reference, predicted & ~reference, ~predicted & reference)
    return tuple(int((part & counted).sum()) for part in parts)  # type: ignore[return-value]


def encode(picture: Rgb) -> bytes:
    """PNG whose longer side is at most SIDE: larger ones averaged down, smaller ones repeated a whole number of times.

    256 colours: on grey images with three flat colours nothing is lost that the eye could see, and the file is a
    third as large.
    """
    height, width = picture.shape[:2]
    longest = max(height, width)
    image = Image.fromarray(picture)
    if longest > SIDE:
        new = (max(1, round(width * SIDE / longest)), max(1, round(height * SIDE / longest)))
        image = image.resize(new, Image.Resampling.BOX)
    elif SIDE // longest > 1:
        image = image.resize((width * (SIDE // longest), height * (SIDE // longest)), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.quantize(colors=256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        buffer, "PNG", optimize=True
    )
    return buffer.getvalue()


def _reference(example: Example) -> BoolMask:
    if example.mask is None:
        raise ValueError(f"{example.sample.id} has no reference mask")
    return example.mask


def _counted(example: Example) -> BoolMask:
    return np.ones(example.size, dtype=np.bool_) if example.fov is None else example.fov


def _dimmed(image: Rgb) -> Rgb:
    """Luma of ITU-R BT.601, dimmed, as three equal channels."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.repeat((grey * DIMMED).astype(np.uint8)[..., None], 3, axis=2)


def _outlined(picture: Rgb, field: BoolMask | None) -> Rgb:
    """Draw the inner edge of the field of view, wide enough to survive the later reduction."""
    if field is None:
        return picture
    width = max(1, round(1.5 * max(field.shape) / SIDE))
    inner = field.copy()
    for _ in range(width):
        padded = np.pad(inner, 1, constant_values=False)
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    picture[field & ~inner] = FIELD
    return picture
