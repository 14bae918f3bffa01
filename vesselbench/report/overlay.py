"""Pictures of one image: as it is, its reference, and where a prediction is right and wrong (numpy and Pillow)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

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
MARK = 17
"""Reach of a mark in pixels of the page."""


@dataclass(frozen=True)
class Mark:
    """A ring or a square around `place` (row, column), in pixels of the picture before it is resized."""

    place: tuple[float, float]
    shape: Literal["ring", "square"]
    colour: tuple[int, int, int]


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


def encode(picture: Rgb, marks: Sequence[Mark] = ()) -> bytes:
    """PNG whose longer side is at most SIDE: larger ones averaged down, smaller ones repeated a whole number of times.

    `marks` are drawn at the size of the page: rings and squares, dark outside so that they stand out on any ground.
    96 colours: on grey images with three flat colours nothing is lost that the eye could see, and the file is a third
    as large.
    """
    image = _page_sized(picture)
    scale = image.width / picture.shape[1]
    draw = ImageDraw.Draw(image)
    for mark in marks:
        _draw_mark(draw, mark, scale)
    buffer = io.BytesIO()
    image.quantize(colors=96, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        buffer, "PNG", optimize=True
    )
    return buffer.getvalue()


def encode_photograph(picture: Rgb) -> bytes:
    """A picture without flat colours as JPEG, at most SIDE long; a small one is enlarged a whole number of times."""
    buffer = io.BytesIO()
    _page_sized(picture).save(buffer, "JPEG", quality=82, optimize=True)
    return buffer.getvalue()


def _page_sized(picture: Rgb) -> Image.Image:
    height, width = picture.shape[:2]
    longest = max(height, width)
    image = Image.fromarray(picture)
    if longest > SIDE:
        new = (max(1, round(width * SIDE / longest)), max(1, round(height * SIDE / longest)))
        return image.resize(new, Image.Resampling.BOX)
    if SIDE // longest > 1:
        return image.resize((width * (SIDE // longest), height * (SIDE // longest)), Image.Resampling.NEAREST)
    return image


def _draw_mark(draw: ImageDraw.ImageDraw, mark: Mark, scale: float) -> None:
    row, column = (scale * (one + 0.5) for one in mark.place)
    for width, colour, reach in ((8, (0, 0, 0), MARK + 2), (4, mark.colour, MARK)):
        box = (column - reach, row - reach, column + reach, row + reach)
        if mark.shape == "ring":
            draw.ellipse(box, outline=colour, width=width)
        else:
            draw.rectangle(box, outline=colour, width=width)


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
