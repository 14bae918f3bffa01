"""Images in a copy: byte by byte, or drawn anew where other programs would see another image or names must go."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from vesselbench.data.images import SUFFIXES, load_pixels, open_image, orientation_of, read_image

_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L")


def reason_to_redraw(path: Path) -> str | None:
    """Why the file cannot be copied as it is; None when it can. UserError for a file that is no image or damaged."""
    if path.suffix.lower() not in SUFFIXES:
        return f"its name ends in {path.suffix or 'nothing'}, not as an image's"
    with open_image(path) as image:
        if orientation_of(image, path) != 1:
            return "EXIF turns it, which other programs ignore"
    return None


def place_image(source: Path, target: Path, redraw: bool) -> None:
    """Copy the bytes, or with `redraw` write the pixels as a PNG that holds nothing else; UserError as `read_image`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if redraw:
        redrawn(source).save(target, format="PNG")
    else:
        shutil.copyfile(source, target)


def redrawn(path: Path) -> Image.Image:
    """The upright pixels without any metadata: `read_image` makes the same of it as of the original.

    16-bit grey stays 16-bit grey; what else has more than 8 bits becomes what `read_image` maps it to.
    """
    with open_image(path) as image:
        mode = image.mode
    if mode in _SIXTEEN_BITS:
        return Image.fromarray(np.asarray(load_pixels(open_image(path), path)).astype(np.uint16))
    pixels = read_image(path)
    grey = (pixels == pixels[..., :1]).all()
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0]) if grey else pixels)
