"""Masks stored as images: which of their values or colours are foreground."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesselbench.data.findings import Fault, Place
from vesselbench.data.images import load_pixels, open_image
from vesselbench.types import BoolMask, MaskFile, Size

_SHOWN = 12
_COLOUR = 1 << 40  # a colour counts as this plus 0xRRGGBB, beyond every grey value that an image can hold
_SPELLING = re.compile(r"#[0-9a-fA-F]{6}")

Values = npt.NDArray[Any]


def colour_value(spelling: str) -> int:
    """The value in ``MaskFile.foreground`` that means the colour ``#rrggbb``; ValueError for another spelling."""
    if not _SPELLING.fullmatch(spelling):
        raise ValueError(f"{spelling!r} is no colour such as #ff0000")
    return _COLOUR + int(spelling[1:], 16)


def spelt(value: float) -> str:
    """A value of a mask as the user writes it: a number, or a colour as ``#rrggbb``."""
    return f"#{int(value) - _COLOUR:06x}" if value >= _COLOUR else f"{value:g}"


def read_mask_file(mask: MaskFile, size: Size) -> BoolMask:
    """The mask as bool [H,W] at `size`.

    Two values: the larger is foreground. One value: 0 is an empty mask, any other a full one. More values, or colours,
    need ``mask.foreground``, the values that count; `colour_value` makes one of a colour. Palette images count by grey
    level when their colours are grey, else by palette index, or by colour where colours are named; the values of a
    mask of one bit a pixel are 0 and 255.
    Raises Fault: mask-size, mask-values, mask-colours, mask-alpha, mask-not-finite; UserError as `open_image`.
    """
    image = _opaque(mask)
    shape = (image.height, image.width)
    if shape != size:
        reason = f"the mask is {_shown(shape)}, its image {_shown(size)} (height x width)"
        cure = "a mask image must have the size of its image; draw or export it again"
        raise Fault("mask-size", _place(mask), reason, cure)
    if mask.foreground is not None:
        return _named(image, mask, mask.foreground)
    values = _grey(image)
    if values is None:
        raise _coloured(image, mask)
    _refuse_infinite(values, mask)
    present = np.unique(values)
    if len(present) > 2:
        reason = f"the mask has {len(present)} values: {_listed(present)}"
        cure = "name those that count, for example data.options.foreground=[255]; JPEG masks: save as PNG"
        raise Fault("mask-values", _place(mask), reason, cure)
    if len(present) == 1:
        return np.full(size, bool(present[0] != 0))
    return np.asarray(values == present[1])


def values_in(mask: MaskFile) -> set[float]:
    """The values that occur in a mask image, as `read_mask_file` counts them; colours when colours are named, or when
    it has no grey values. Fault and UserError as there."""
    image = _opaque(mask)
    grey = _grey(image)
    named = mask.foreground or ()
    planes = [] if grey is None else [grey]
    if grey is None or any(value >= _COLOUR for value in named):
        planes.append(_colours(image))
    for plane in planes:
        _refuse_infinite(plane, mask)
    return {float(value) for plane in planes for value in np.unique(plane)}


def _named(image: Image.Image, mask: MaskFile, foreground: Iterable[int]) -> BoolMask:
    colours = [value for value in foreground if value >= _COLOUR]
    numbers = [value for value in foreground if value < _COLOUR]
    found = np.zeros((image.height, image.width), dtype=np.bool_)
    if colours:
        found |= np.isin(_colours(image), colours)
    if numbers:
        values = _grey(image)
        if values is None:
            raise _coloured(image, mask)
        _refuse_infinite(values, mask)
        found |= np.isin(values, numbers)
    return found


def _opaque(mask: MaskFile) -> Image.Image:
    image = load_pixels(open_image(mask.path), mask.path)
    if "A" not in image.getbands():
        return image
    if len(np.unique(np.asarray(image.getchannel("A")))) > 1:
        reason = "the mask has a varying alpha channel"
        raise Fault("mask-alpha", _place(mask), reason, "save it as grey or black and white")
    return image.convert("RGB" if image.mode == "RGBA" else "L")


def _grey(image: Image.Image) -> Values | None:
    """Grey levels, or the indices of a coloured palette; None for colours."""
    if image.mode == "P":
        return _palette_values(image)
    values = np.asarray(image)
    if image.mode == "1":
        return values.astype(np.uint8) * 255  # as every viewer shows it
    if values.ndim == 2:
        return values
    if image.mode != "RGB" or not (values == values[..., :1]).all():
        return None
    return np.ascontiguousarray(values[..., 0])


def _colours(image: Image.Image) -> npt.NDArray[np.int64]:
    """The colour of each pixel, as `colour_value` spells it; grey of more than 8 bits has none: 0 throughout."""
    if image.mode not in ("1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB"):
        return np.zeros((image.height, image.width), dtype=np.int64)
    red, green, blue = (plane.astype(np.int64) for plane in np.moveaxis(np.asarray(image.convert("RGB")), 2, 0))
    return np.asarray(_COLOUR + (red << 16) + (green << 8) + blue)


def _coloured(image: Image.Image, mask: MaskFile) -> Fault:
    present = np.unique(_colours(image))
    return Fault(
        "mask-colours",
        _place(mask),
        f"the mask is coloured ({image.mode}): {_listed(present)}",
        'save it as grey, one value per class, or name the colours: data.options.values={vessel: ["#ff0000"]}',
    )


def _refuse_infinite(values: Values, mask: MaskFile) -> None:
    if not np.isfinite(values).all():
        reason = "the mask holds values that are not finite"
        raise Fault("mask-not-finite", _place(mask), reason, "replace them and save it again")


def _place(mask: MaskFile) -> Place:
    return Place(mask.path.as_posix())


def _palette_values(image: Image.Image) -> Values:
    indices = np.asarray(image)
    palette = image.getpalette("RGB") or []
    colours = np.asarray(palette, dtype=np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    grey = used.max() < len(colours) and bool((colours[used] == colours[used][:, :1]).all())
    return colours[indices, 0] if grey else indices


def _listed(present: Values) -> str:
    return ", ".join(spelt(float(value)) for value in present[:_SHOWN]) + (", ..." if len(present) > _SHOWN else "")


def _shown(size: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in size)
