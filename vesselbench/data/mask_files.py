"""Masks stored as images: which of their values are foreground."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesselbench.data.images import load_pixels, open_image
from vesselbench.errors import UserError
from vesselbench.types import BoolMask, MaskFile, Size

_SHOWN = 12


def read_mask_file(mask: MaskFile, size: Size) -> BoolMask:
    """The mask as bool [H,W] at `size`.

    Two values: the larger is foreground. One value: 0 is an empty mask, any other a full one. More values need
    ``mask.foreground``, the values that count. Palette images count by grey level when their colours are grey, else by
    palette index; the values of a mask of one bit a pixel are 0 and 255. Raises UserError for another size, colours, a
    varying alpha channel, values that are not finite and unexplained ones.
    """
    values = _grey_values(mask)
    if values.shape != size:
        raise UserError(
            f"mask {mask.path} is {_shown(values.shape)}, its image {_shown(size)} (height x width)",
            "a mask image must have the size of its image; draw or export it again",
        )
    if mask.foreground is not None:
        return np.isin(values, mask.foreground)
    present = np.unique(values)
    if len(present) > 2:
        listed = ", ".join(f"{value:g}" for value in present[:_SHOWN]) + (", ..." if len(present) > _SHOWN else "")
        raise UserError(
            f"mask {mask.path} has {len(present)} values: {listed}",
            "name those that count, for example data.options.foreground=[255]; JPEG masks: save as PNG",
        )
    if len(present) == 1:
        return np.full(size, bool(present[0] != 0))
    return np.asarray(values == present[1])


def values_in(mask: MaskFile) -> set[float]:
    """The values that occur in a mask image, as `read_mask_file` counts them; UserError as there."""
    return {float(value) for value in np.unique(_grey_values(mask))}


def _grey_values(mask: MaskFile) -> npt.NDArray[Any]:
    image = load_pixels(open_image(mask.path), mask.path)
    if image.mode == "P":
        return _palette_values(image)
    if "A" in image.getbands():
        if len(np.unique(np.asarray(image.getchannel("A")))) > 1:
            raise UserError(f"mask {mask.path} has a varying alpha channel", "save it as grey or black and white")
        image = image.convert("RGB" if image.mode == "RGBA" else "L")
    values = np.asarray(image)
    if image.mode == "1":
        return values.astype(np.uint8) * 255  # as every viewer shows it
    if values.ndim == 2:
        if not np.isfinite(values).all():
            raise UserError(f"mask {mask.path} holds values that are not finite", "replace them and save it again")
        return values
    if image.mode != "RGB" or not (values == values[..., :1]).all():
        raise UserError(f"mask {mask.path} is coloured ({image.mode})", "save it as grey, one value per class")
    return np.ascontiguousarray(values[..., 0])


def _palette_values(image: Image.Image) -> npt.NDArray[Any]:
    indices = np.asarray(image)
    palette = image.getpalette("RGB") or []
    colours = np.asarray(palette, dtype=np.uint8).reshape(-1, 3)
    used = np.unique(indices)
    grey = used.max() < len(colours) and bool((colours[used] == colours[used][:, :1]).all())
    return colours[indices, 0] if grey else indices


def _shown(size: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in size)
