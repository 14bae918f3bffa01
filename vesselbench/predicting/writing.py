"""The files of one prediction: mask, probability, overlay, a line of predictions.csv (numpy and Pillow)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesselbench.errors import UserError
from vesselbench.rundir import write_bytes
from vesselbench.types import BoolMask

COLUMNS = (
    *("file", "target", "prompt", "width", "height", "vessel_fraction", "threshold", "status", "seconds"),
    *("mask", "probability", "overlay", "reason"),
)
"""Columns of predictions.csv and keys of the rows of predictions.json."""
TINT = (0, 220, 255)
"""Colour of what was predicted, over the image in its own colours."""
STRENGTH = 0.6
PARTS = (("masks", "mask", ".png"), ("probabilities", "probability", ".png"), ("overlays", "overlay", ".jpg"))
"""Folder, column and suffix of the three pictures."""


def write_pictures(
    folder: Path, stem: str, image: npt.NDArray[np.uint8], mask: BoolMask, probability: npt.NDArray[np.float32]
) -> dict[str, str]:
    """Write the three pictures of one prediction below `folder`; returns their paths, relative to it, by column.

    masks: one bit a pixel; probabilities: 16 bits, `65535 * p` rounded; overlays: the image [H,W,3] with what was
    predicted tinted, JPEG.
    """
    contents = (png(mask), png(deep(probability)), overlay(image, mask))
    written = {}
    for (place, column, suffix), content in zip(PARTS, contents, strict=True):
        name = f"{place}/{stem}{suffix}"
        write_bytes(folder / name, content)
        written[column] = name
    return written


def deep(probability: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Probabilities in [0,1] as 16-bit values, to the nearest; the error is at most 1 / 131070."""
    return np.rint(probability.astype(np.float64) * 65535).astype(np.uint16)


def png(pixels: npt.NDArray[Any]) -> bytes:
    """A mask as PNG of one bit a pixel, 16-bit values as such."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def overlay(image: npt.NDArray[np.uint8], mask: BoolMask) -> bytes:
    """The image uint8 [H,W,3] with the pixels of `mask` [H,W] tinted, as JPEG of its own size."""
    picture = image.copy()
    picture[mask] = np.rint((1 - STRENGTH) * picture[mask] + STRENGTH * np.array(TINT)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add one line to a CSV file, with the heading when it is new; UserError when the disk refuses."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if not path.exists():
        writer.writeheader()
    writer.writerow({column: "" if row.get(column) is None else row[column] for column in COLUMNS})
    try:
        with open(path, "a", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}", "free space on the disk") from error
