"""The only decoder of polygons and run lengths. Everything is checked before pycocotools sees it.

(pycocotools is killed by a coordinate that is not finite and reads foreign memory for a run length that is too short.)
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco

from vesselbench.data import geometry
from vesselbench.data.findings import Fault, Place, warn
from vesselbench.data.mask_files import read_mask_file
from vesselbench.types import BoolMask, Mask, MaskFile, Polygons, Rle, Size

_MOST_PIXELS = 1 << 28
_FARTHEST = 1e9  # pixels; beyond, squares of coordinates lose their digits
_MOST_CHUNKS = 7  # 7 x 5 bits: more than a 32-bit count needs
_LONGEST_OUTLINE = 4e6  # pixels; pycocotools needs 120 bytes for each
_REDRAW = "redraw or delete this shape"


def decode(mask: Mask, size: Size, where: Place | str) -> BoolMask:
    """The mask as bool [H,W] at `size`, the (H, W) of its image: the union (OR) of its shapes.

    Polygons are scaled from their stated size and filled by COCO's rule; run lengths of another size are scaled by
    nearest neighbour. The empty tuple is an empty mask. `where` is what messages start with.
    Raises Fault for every malformed shape (see `check_polygons`, `check_rle`, `read_mask_file`), and for a polygon that
    lies wholly outside the image, or reaches more than one image size beyond it.
    """
    if isinstance(mask, MaskFile):
        return read_mask_file(mask, size)
    drawn = [shape for shape in mask if isinstance(shape, Polygons)]
    if len(drawn) == len(mask) and (outlines := _sound_outlines(drawn, size)):
        return _fill(outlines, size)
    union = np.zeros(size, dtype=np.bool_)
    for number, shape in enumerate(mask):
        at = Place.of(where if len(mask) == 1 else f"{where} shape[{number}]")
        union |= _fill(_outlines(shape, size, at), size) if isinstance(shape, Polygons) else _expand(shape, size, at)
    return union


def check_polygons(polygons: Polygons, where: Place | str) -> None:
    """Raise Fault unless every part is an outline: pairs of finite numbers, at least 3, that enclose something.

    Codes: empty-segmentation, odd-coordinates, too-few-points, not-finite, zero-area, impossible-size.
    """
    _checked(polygons, Place.of(where))


def _checked(polygons: Polygons, place: Place) -> list[geometry.Points]:
    """The points of every part, after all that `check_polygons` looks for."""
    if not polygons.parts:
        raise Fault("empty-segmentation", place, "no polygon", _REDRAW)
    if polygons.size is not None:
        _check_size(polygons.size, place)
    found = []
    for number, part in enumerate(polygons.parts):
        at = place.item(number)
        if len(part) % 2:
            raise Fault("odd-coordinates", at, f"{len(part)} coordinates, not pairs of x and y", _REDRAW)
        if len(part) < 6:
            points = f"{len(part) // 2} point{'s' * (len(part) != 2)}"
            raise Fault("too-few-points", at, f"a polygon of {points}, at least 3", _REDRAW)
        outline = _points(part)
        if not np.isfinite(outline).all():
            raise Fault("not-finite", at, "a coordinate is not finite", _REDRAW)
        if np.abs(outline).max() > _FARTHEST:
            raise Fault("outside-image", at, f"a coordinate beyond {_FARTHEST:g} lies outside the image", _REDRAW)
        if geometry.encloses_nothing(outline):
            raise Fault("zero-area", at, f"the polygon of {len(part) // 2} points encloses nothing", _REDRAW)
        found.append(outline)
    return found


def examine_polygons(polygons: Polygons, where: Place | str, size: Size | None = None, sample: str = "") -> None:
    """`check_polygons`, and what a person should know: self-crossing, partly-outside (both warned of), outside-image.

    `size` is the (H, W) whose pixels the coordinates count, by default the stated one; without either nothing is said
    about the inside of an image. `sample` is passed on to the findings.
    """
    place = Place.of(where)
    check_polygons(polygons, place)
    inside = size or polygons.size
    if inside is not None:
        examine_reach(polygons, inside, place, sample)
    for number, part in enumerate(polygons.parts):
        at, outline = place.item(number), _points(part)
        try:
            crossing = geometry.first_crossing(outline)
        except geometry.TooManyPairsError:
            reason = f"{len(outline)} points, too many long edges to look for crossings"
            warn("not-examined", at, reason, "simplify the outline", sample)
            continue
        if crossing is not None:
            reason = f"the edges from points {crossing[0]} and {crossing[1]} cross"
            warn("self-crossing", at, reason, "look at it: where it overlaps itself it may be unfilled", sample)


def check_reach(polygons: Polygons, size: Size, where: Place | str) -> None:
    """Fault outside-image for a point far beyond an image of `size` (H, W), and for a shape without a part in it."""
    _refuse_far([_points(part) for part in polygons.parts], size, Place.of(where))


def examine_reach(polygons: Polygons, size: Size, where: Place | str, sample: str = "") -> None:
    """Warn of parts that reach beyond an image of `size` (H, W); Fault outside-image for a shape without part in it."""
    place, outlines = Place.of(where), [_points(part) for part in polygons.parts]
    _refuse_far(outlines, size, place)
    for number, outline in enumerate(outlines):
        if beyond := geometry.points_outside(outline, size):
            reason = f"{beyond} of {len(outline)} points lie outside the image ({_sides(size)})"
            warn("partly-outside", place.item(number), reason, "look at it; what lies outside is cut off", sample)


def check_rle(rle: Rle, where: Place | str) -> tuple[int, ...]:
    """The counts of `rle`, checked: none negative, the sum exactly height x width.

    Raises Fault otherwise: rle-damaged, rle-short, rle-long, impossible-size.
    """
    place = Place.of(where)
    _check_size(rle.size, place)
    counts = _read_compressed(rle.counts, place) if isinstance(rle.counts, bytes) else rle.counts
    if any(count < 0 for count in counts):
        raise Fault("rle-damaged", place, "a run length is negative", "export this annotation again")
    height, width = rle.size
    if sum(counts) != height * width:
        raise Fault(
            "rle-short" if sum(counts) < height * width else "rle-long",
            place,
            f"run lengths sum to {_short(sum(counts))}, not to {height} x {width} = {height * width}",
            "export this annotation again; counts and size must belong together",
        )
    return counts


def examine_rle(rle: Rle, where: Place | str, size: Size | None = None, sample: str = "") -> None:
    """`check_rle`, and a size unlike `size`, the (H, W) that the image record states: warned of, or size-swapped."""
    place = Place.of(where)
    check_rle(rle, place)
    refuse_swapped(rle.size, size or rle.size, place)
    if size is not None and rle.size != size:
        reason = f"run lengths of {_sides(rle.size)} in an image of {_sides(size)} (height x width)"
        warn("rle-size", place, reason, "export it again; until then it is scaled", sample)


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


def _points(part: Sequence[float]) -> geometry.Points:
    return np.asarray(part, dtype=np.float64).reshape(-1, 2)


def _sound_outlines(shapes: Sequence[Polygons], size: Size) -> list[geometry.Points] | None:
    """The outlines of all shapes in pixels of an image of `size` (H, W), when nothing is wrong with any of them.

    They are looked at together, which takes a fraction of the time; None sends each through `_outlines`, which knows
    what to say.
    """
    found: list[geometry.Points] = []
    for shape in shapes:
        stated = shape.size or size
        if min(stated) < 1 or stated[0] * stated[1] > _MOST_PIXELS or (stated != size and stated == size[::-1]):
            return None
        scale = None if stated == size else np.array([size[1] / stated[1], size[0] / stated[0]])
        for part in shape.parts:
            if len(part) < 6 or len(part) % 2:
                return None
            found.append(_points(part) if scale is None else _points(part) * scale)
        if not shape.parts:
            return None
    return found if geometry.length_of_sound(found, size) <= _LONGEST_OUTLINE else None


def _outlines(polygons: Polygons, size: Size, place: Place) -> list[geometry.Points]:
    """The checked outlines in pixels of an image of `size` (H, W)."""
    parts = _checked(polygons, place)
    refuse_swapped(polygons.size, size, place)
    stated = polygons.size or size
    scale = np.array([size[1] / stated[1], size[0] / stated[0]])
    parts = [points * scale for points in parts]
    _refuse_far(parts, size, place)
    length = sum(geometry.outline_length(outline) for outline in parts)
    if length > _LONGEST_OUTLINE:
        cure = "simplify it, or store run lengths"
        raise Fault("outline-too-long", place, f"an outline of {length:.3g} pixels", cure)
    return parts


def _fill(outlines: Sequence[geometry.Points], size: Size) -> BoolMask:
    """The union of checked outlines, bool [H,W], by COCO's rule."""
    union = coco.merge(coco.frPyObjects([outline.ravel() for outline in outlines], *size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pycocotools' own array, under numpy 2
        plane = coco.decode(union)
    return np.ascontiguousarray(plane).view(np.bool_)


def _refuse_far(outlines: Sequence[geometry.Points], size: Size, place: Place) -> None:
    """Refuse a far point, because the rasteriser walks along every edge, and a shape without a part in the image."""
    height, width = size
    cure = "the polygon belongs to another image, or its stated size is wrong"
    for number, points in enumerate(outlines):
        if (points < (-width, -height)).any() or (points > (2 * width, 2 * height)).any():
            reason = f"a point lies more than one image size outside the image ({_sides(size)})"
            raise Fault("outside-image", place.item(number), reason, cure)
    if all(geometry.misses(points, size) for points in outlines):
        raise Fault("outside-image", place, f"the shape lies outside the image ({_sides(size)})", cure)


def _expand(rle: Rle, size: Size, place: Place) -> BoolMask:
    counts = check_rle(rle, place)
    refuse_swapped(rle.size, size, place)
    height, width = rle.size
    values = np.arange(len(counts)) % 2 == 1
    mask = np.repeat(values, counts).reshape(width, height).T
    if rle.size == size:
        return np.ascontiguousarray(mask)
    rows = ((np.arange(size[0]) + 0.5) * (height / size[0])).astype(np.intp)
    columns = ((np.arange(size[1]) + 0.5) * (width / size[1])).astype(np.intp)
    return np.asarray(mask[np.ix_(rows, columns)])


def _check_size(size: Sequence[int], place: Place) -> None:
    height, width = size
    if height < 1 or width < 1 or height * width > _MOST_PIXELS:
        reason = f"impossible size {_short(height)} x {_short(width)}"
        raise Fault("impossible-size", place, reason, "state the height and width of the image")


def refuse_swapped(stated: Size | None, size: Size, place: Place) -> None:
    """Fault size-swapped when an annotation states the (H, W) of its image the wrong way round."""
    if stated is not None and stated != size and stated == size[::-1]:
        raise Fault(
            "size-swapped",
            place,
            f"annotated as {_sides(stated)} (height x width), the image is {_sides(size)}",
            "exchange height and width in the annotation, or the image was turned after it was annotated",
        )


def _sides(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def _short(number: int) -> str:
    """Whole numbers of a damaged file have any number of digits, and Python refuses to print more than 4300."""
    return str(number) if abs(number) < 10**15 else "more than 10^15"


def _read_compressed(text: bytes, place: Place) -> tuple[int, ...]:
    """COCO's string: 5 bits a character, low ones first, 32 = more follow; from the 4th count on a difference to
    the count two before (rleToString of the COCO API's maskApi.c)."""
    counts: list[int] = []
    value = chunks = 0
    for position, character in enumerate(text):
        bits = character - 48
        if not 0 <= bits < 64 or chunks == _MOST_CHUNKS:
            raise Fault("rle-damaged", place, f"not a run-length string at character {position}", "export it again")
        value |= (bits & 31) << (5 * chunks)
        chunks += 1
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << (5 * chunks)
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = chunks = 0
    if chunks:
        raise Fault("rle-damaged", place, "the run-length string is cut short", "export it again")
    return tuple(counts)
