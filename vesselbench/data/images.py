"""Image files as they are meant to be seen: upright, uint8, three channels. The only module that opens images."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from vesselbench.data.findings import Fault
from vesselbench.types import Size

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm"})
"""File names that count as images where a folder is listed (lower case)."""
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
_ORIENTATION = 0x0112
_METADATA = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")  # chunks of a PNG that can hold an orientation
_BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, ZeroDivisionError),
    *(OverflowError, NotImplementedError, struct.error, zlib.error),
)  # what Pillow raises on damaged files; a byte changed in a tag is enough (measured by tests/fuzz)


def open_image(path: Path) -> Image.Image:
    """The file's header as a Pillow image (pixels not read yet).

    Raises UserError when it is missing, not an image, has several frames or more pixels than Pillow deems safe.
    """
    try:
        with _quiet():
            image = Image.open(path)
            several = _frames(image) > 1 and image.format != "MPO"  # a phone's MPO carries a preview
    except FileNotFoundError:
        raise Fault("missing-file", "", f"image {path} does not exist", "check data.root and data.options") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise Fault(
            "decompression-bomb", "", f"{path} has more than {limit:.0f} million pixels", "cut it into tiles"
        ) from None
    except UnidentifiedImageError:
        raise Fault("unreadable", "", f"{path} is not an image", "remove it or save it again as PNG") from None
    except _BROKEN as error:
        raise Fault("unreadable", "", f"{path} cannot be opened as an image: {error}", "save it again as PNG") from None
    if several:
        image.close()
        raise Fault(
            "several-frames", "", f"{path} holds several frames", "save each frame as a file of its own, in one group"
        )
    return image


def _frames(image: Image.Image) -> int:
    """Number of frames; what Pillow raises on a damaged file goes up, the file closed."""
    try:
        return int(getattr(image, "n_frames", 1))
    except BaseException:
        image.close()
        raise


def load_pixels(image: Image.Image, path: Path) -> Image.Image:
    """The decoded image with its EXIF orientation applied; UserError when the file is cut short or damaged."""
    try:
        with _quiet(), image:
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return image
    except _BROKEN as error:
        raise Fault(
            "truncated-image", "", f"{path} is cut short or damaged: {error}", "copy it again or remove it"
        ) from None


def image_size(path: Path) -> Size:
    """(H, W) of the upright image, from the header alone; UserError as `open_image`."""
    with open_image(path) as image:
        return upright_size(image, path)


def upright_size(image: Image.Image, path: Path) -> Size:
    """(H, W) of an opened image after its EXIF orientation; UserError as `orientation_of`."""
    width, height = image.size
    return (width, height) if orientation_of(image, path) in _TURNED else (height, width)


def orientation_of(image: Image.Image, path: Path) -> int:
    """EXIF orientation of an opened image: 1 is upright, 2 to 8 are turned or mirrored.

    A PNG may carry EXIF data behind its pixels: one that has something there, or no end, is decoded. UserError when the
    file is cut short, or its EXIF data are damaged.
    """
    try:
        with _quiet():
            known = image.format == "PNG" and not _tells_behind_pixels(path)
            exif = Image.Image.getexif(image) if known else image.getexif()  # that of a PNG decodes all pixels
            orientation = exif.get(_ORIENTATION, 1)
    except _BROKEN as error:
        _refuse_damaged_pixels(image, path)
        raise Fault("truncated-image", "", f"{path} has damaged EXIF data: {error}", "save it again as PNG") from None
    return orientation if orientation in range(1, 9) else 1


def _tells_behind_pixels(path: Path) -> bool:
    """Whether a PNG has metadata behind its pixels, or no end; read from the headers of its chunks alone."""
    with open(path, "rb") as file:
        file.seek(8)
        pixels = False
        while len(header := file.read(8)) == 8:
            kind = header[4:]
            if kind == b"IEND":
                return False
            if pixels and kind in _METADATA:
                return True
            pixels = pixels or kind == b"IDAT"
            file.seek(int.from_bytes(header[:4], "big") + 4, os.SEEK_CUR)
    return True


def _refuse_damaged_pixels(image: Image.Image, path: Path) -> None:
    try:
        with _quiet():
            image.load()
    except _BROKEN as error:
        raise Fault(
            "truncated-image", "", f"{path} is cut short or damaged: {error}", "copy it again or remove it"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns of damaged tags that do not matter here; damaged pixels raise, and so does too large an image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """The image as uint8 [H,W,3], grey ones with three equal channels.

    16-bit, 32-bit and float grey images are mapped linearly from their own minimum..maximum to 0..255.
    Raises UserError for a file that is no whole image, for real transparency and for values that are not finite.
    """
    image = load_pixels(open_image(path), path)
    if image.mode in DEEP_MODES:
        return _three_times(_stretched(np.asarray(image, dtype=np.float64), path))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            raise Fault("transparent-image", "", f"{path} is partly transparent", "save it without an alpha channel")
    if image.mode == "L":
        return _three_times(np.asarray(image))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))  # a copy: torch wants writable memory


def _three_times(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8 [H,W] as three equal channels, in a third of the time of Pillow's conversion."""
    pixels = np.empty((*grey.shape, 3), dtype=np.uint8)
    for channel in range(3):
        pixels[..., channel] = grey
    return pixels


def _stretched(values: npt.NDArray[np.float64], path: Path) -> npt.NDArray[np.uint8]:
    if not np.isfinite(values).all():
        raise Fault(
            "unreadable", "", f"{path} holds values that are not finite", "replace them and save the image again"
        )
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.zeros(values.shape, dtype=np.uint8)
    return np.rint((values - low) * (255.0 / (high - low))).astype(np.uint8)
