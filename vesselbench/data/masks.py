"""The only decoder of polygons and run lengths. Everything is checked before pycocotools sees it.

(pycocotools is killed by a coordinate that is not finite and reads foreign memory for a run length that is too short.)
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco

from vesselbench.data.mask_files import read_mask_file
from vesselbench.errors import UserError
from vesselbench.types import BoolMask, Mask, MaskFile, Polygons, Rle, Size

_MOST_PIXELS = 1 << 28
_MOST_CHUNKS = 7  # 7 x 5 bits: more than a 32-bit count needs
_REDRAW = "redraw or delete this shape"


def decode(mask: Mask, size: Size, where: str) -> BoolMask:
    """The mask as bool [H,W] at `size`, the (H, W) of its image: the union (OR) of its shapes.

    Polygons are scaled from their stated size and filled by COCO's rule; run lengths of another size are scaled by
    nearest neighbour. The empty tuple is an empty mask. `where` is what messages start with.
    Raises UserError for every malformed shape (see `check_polygons`, `check_rle`, `read_mask_file`).
    """
    if isinstance(mask, MaskFile):
        return read_mask_file(mask, size)
    union = np.zeros(size, dtype=np.bool_)
    for number, shape in enumerate(mask):
        at = where if len(mask) == 1 else f"{where} shape[{number}]"
        union |= _fill(shape, size, at) if isinstance(shape, Polygons) else _expand(shape, size, at)
    return union


def check_polygons(polygons: Polygons, where: str) -> None:
    """Raise UserError unless every part is a list of at least 3 points: an even number of finite coordinates."""
    if not polygons.parts:
        raise UserError(f"{where}: no polygon", _REDRAW)
    for number, part in enumerate(polygons.parts):
        at = f"{where}[{number}]"
        if len(part) % 2:
            raise UserError(f"{at}: {len(part)} coordinates, not pairs of x and y", _REDRAW)
        if len(part) < 6:
            raise UserError(f"{at}: a polygon of {len(part) // 2} point{'s' * (len(part) != 2)}, at least 3", _REDRAW)
        if not all(math.isfinite(value) for value in part):
            raise UserError(f"{at}: a coordinate is not finite", _REDRAW)
    if polygons.size is not None:
        _check_size(polygons.size, where)


def check_rle(rle: Rle, where: str) -> tuple[int, ...]:
    """The counts of `rle`, checked: none negative, the sum exactly height x width. Raises UserError otherwise."""
    _check_size(rle.size, where)
    counts = _read_compressed(rle.counts, where) if isinstance(rle.counts, bytes) else rle.counts
    if any(count < 0 for count in counts):
        raise UserError(f"{where}: a run length is negative", "export this annotation again")
    height, width = rle.size
    if sum(counts) != height * width:
        raise UserError(
            f"{where}: run lengths sum to {sum(counts)}, not to {height} x {width} = {height * width}",
            "export this annotation again; counts and size must belong together",
        )
    return counts


def encode_rle(mask: BoolMask) -> Rle:
    """The mask (bool [H,W]) as COCO's compressed run lengths."""
    encoded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Rle(bytes(encoded["counts"]), (int(mask.shape[0]), int(mask.shape[1])))


def to_uncompressed(rle: Rle) -> Rle:
    """The same mask with counts as integers; UserError when the run lengths are malformed."""
    return Rle(check_rle(rle, "run lengths"), rle.size)


def mask_sha256(mask: BoolMask) -> str:
    """SHA-256 (hexadecimal) of the shape and the pixels, eight to a byte."""
    digest = hashlib.sha256(repr(tuple(int(side) for side in mask.shape)).encode())
    digest.update(np.packbits(mask, axis=None).tobytes())
    return digest.hexdigest()


def _fill(polygons: Polygons, size: Size, where: str) -> BoolMask:
    check_polygons(polygons, where)
    _refuse_swapped(polygons.size, size, where)
    height, width = size
    stated_height, stated_width = polygons.size or size
    scale = np.array([width / stated_width, height / stated_height])
    parts = []
    for number, part in enumerate(polygons.parts):
        points = np.asarray(part, dtype=np.float64).reshape(-1, 2) * scale
        # The rasteriser walks along every edge, so a far point costs unbounded time and memory.
        if (points < (-width, -height)).any() or (points > (2 * width, 2 * height)).any():
            raise UserError(
                f"{where}[{number}]: a point lies more than one image size outside the image ({height} x {width})",
                "the polygon belongs to another image, or its stated size is wrong",
            )
        parts.append(points.ravel().tolist())
    union = coco.merge(coco.frPyObjects(parts, height, width))
    return _expand(Rle(bytes(union["counts"]), size), size, where)


def _expand(rle: Rle, size: Size, where: str) -> BoolMask:
    counts = check_rle(rle, where)
    _refuse_swapped(rle.size, size, where)
    height, width = rle.size
    values = np.arange(len(counts)) % 2 == 1
    mask = np.repeat(values, counts).reshape(width, height).T
    if rle.size == size:
        return np.ascontiguousarray(mask)
    rows = ((np.arange(size[0]) + 0.5) * (height / size[0])).astype(np.intp)
    columns = ((np.arange(size[1]) + 0.5) * (width / size[1])).astype(np.intp)
    return np.asarray(mask[np.ix_(rows, columns)])


def _check_size(size: Sequence[int], where: str) -> None:
    height, width = size
    if height < 1 or width < 1 or height * width > _MOST_PIXELS:
        raise UserError(f"{where}: impossible size {height} x {width}", "state the height and width of the image")


def _refuse_swapped(stated: Size | None, size: Size, where: str) -> None:
    if stated is not None and stated != size and stated == size[::-1]:
        raise UserError(
            f"{where}: annotated as {stated[0]} x {stated[1]} (height x width), the image is {size[0]} x {size[1]}",
            "exchange height and width in the annotation, or the image was turned after it was annotated",
        )


def _read_compressed(text: bytes, where: str) -> tuple[int, ...]:
    """COCO's string: 5 bits a character, low ones first, 32 = more follow; from the 4th count on a difference to
    the count two before (rleToString of the COCO API's maskApi.c)."""
    counts: list[int] = []
    value = chunks = 0
    for position, character in enumerate(text):
        bits = character - 48
        if not 0 <= bits < 64 or chunks == _MOST_CHUNKS:
            raise UserError(f"{where}: not a run-length string at character {position}", "export it again")
        value |= (bits & 31) << (5 * chunks)
        chunks += 1
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << (5 * chunks)
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = chunks = 0
    if chunks:
        raise UserError(f"{where}: the run-length string is cut short", "export it again")
    return tuple(counts)
