"""What can be odd about the mask of one sample: its pixels, and the shapes that it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vesselbench.data.findings import Finding, Place, found
from vesselbench.data.geometry import outline_key
from vesselbench.data.mask_files import spelt, values_in
from vesselbench.data.masks import decode
from vesselbench.types import Example, MaskFile, Polygons, Rle, Sample, Size

_MEMBERS = re.compile(r"(.*)\[(\d+(?:, \d+)*)\]")
_UNITED = "fine where vessels cross: polygons are united, never added up"


@dataclass(frozen=True)
class MaskFacts:
    """Foreground and all pixels that count (inside the field of view) of one mask."""

    target: str
    foreground: int
    pixels: int


def look_at(example: Example) -> list[Finding]:
    """What is odd or wrong about one example; an error is what neither training nor scoring can use."""
    results = [] if int(np.ptp(example.image)) else [_flat(example)]
    return results + examine_mask(example)


def examine_mask(example: Example) -> list[Finding]:
    """empty-fov, no-annotation, empty-mask, full-mask and outside-fov of one example."""
    sample = example.sample
    results: list[Finding] = []

    def note(code: str, reason: str, cure: str) -> None:
        results.append(found(code, sample.origin, reason, cure, sample.id))

    if example.fov is not None and not example.fov.any():
        note("empty-fov", "the field of view is empty", "mend that mask")
    if example.mask is None:
        note("no-annotation", "nothing to learn or score", "annotate or remove it")
    elif not example.mask.any():
        note("empty-mask", f"no pixel is {sample.target!r}", "fine if meant")
    elif example.mask.all():
        note("full-mask", f"every pixel is {sample.target!r}", "look at the mask")
    elif example.fov is not None and example.fov.any() and (outside := int((example.mask & ~example.fov).sum())):
        note("outside-fov", f"{outside} pixels lie outside the field of view", "look at both")
    return results


def facts_of(example: Example) -> MaskFacts | None:
    """None without a mask."""
    if example.mask is None:
        return None
    inside = np.ones(example.size, np.bool_) if example.fov is None else example.fov
    return MaskFacts(example.sample.target, int((example.mask & inside).sum()), int(inside.sum()))


def examine_shapes(sample: Sample, size: Size | None) -> Iterator[Finding]:
    """duplicate-polygon and overlapping-polygons among the shapes of one sample.

    `size`: (H, W) of the image; None: only duplicates are looked for. Shapes must decode. An overlap is counted in
    pixels against the last shape before it that covers the pixel; copies are not counted again.
    """
    shapes = sample.mask
    if not isinstance(shapes, tuple) or (len(shapes) < 2 and not _has_parts(shapes)):
        return
    copies = list(_copies(shapes))
    for place, first in ((shape_place(sample, number, part), first) for number, part, first in copies):
        at = shape_place(sample, *first)
        reason = f"the same outline as {str(at).removeprefix(at.file).strip() or at}"
        yield found("duplicate-polygon", place, reason, "delete one of them", sample.id)
    if size is None:
        return
    whole = {number for number, part, _ in copies if part is None}
    owner = np.full(size, -1, dtype=np.int32)
    for number, shape in enumerate(shapes):
        if number in whole:
            continue
        mask = decode((shape,), size, shape_place(sample, number))
        touched = owner[mask]
        for other, pixels in zip(*np.unique(touched[touched >= 0], return_counts=True), strict=True):
            owned = shape_place(sample, int(other))
            reason = f"{pixels} pixels are also in {owned.index or owned}"
            yield found("overlapping-polygons", shape_place(sample, number), reason, _UNITED, sample.id)
        owner[mask] = number


def shape_place(sample: Sample, number: int, part: int | None = None) -> Place:
    """Where shape `number` of a sample stands; exact where the origin lists one index per shape."""
    origin, count = Place.of(sample.origin or sample.id), len(sample.mask) if isinstance(sample.mask, tuple) else 0
    match = _MEMBERS.fullmatch(origin.index)
    members = match[2].split(", ") if match else []
    if match and len(members) == count:
        index = f"{match[1]}[{members[number]}]"
    else:
        index = f"{origin.index} shape[{number}]".strip() if count > 1 else origin.index
    return Place(origin.file, f"{index} part[{part}]".strip() if part else index)


def absent_values(samples: Sequence[Sample]) -> list[Finding]:
    """An error when a value that was named as foreground occurs in no mask of the data set: it was mistyped.

    Mask files are read until every value has been seen. Raises UserError for one that cannot be read.
    """
    masks = [sample.mask for sample in samples if isinstance(sample.mask, MaskFile)]
    missing = {float(value) for mask in masks for value in mask.foreground or ()}
    for mask in masks:
        if not missing:
            return []
        if mask.foreground is not None:
            missing -= values_in(mask)
    if not missing:
        return []
    reason = f"{', '.join(spelt(value) for value in sorted(missing))} occurs in none of {len(masks)} masks"
    cure = "name values that occur (a mask of one bit a pixel has 0 and 255)"
    return [found("absent-value", "foreground", reason, cure)]


def _flat(example: Example) -> Finding:
    sample, value = example.sample, int(example.image.flat[0])
    return found("flat-image", sample.origin, f"every pixel is {value}", "look at the image", sample.id)


def _has_parts(shapes: Sequence[Polygons | Rle]) -> bool:
    return any(isinstance(shape, Polygons) and len(shape.parts) > 1 for shape in shapes)


def _copies(
    shapes: Sequence[Polygons | Rle],
) -> Iterator[tuple[int, int | None, tuple[int, int | None]]]:
    """(shape, part, (first shape, its part)) of every outline or run length that stands there already."""
    seen: dict[object, tuple[int, int | None]] = {}
    for number, shape in enumerate(shapes):
        several = isinstance(shape, Polygons) and len(shape.parts) > 1
        for part, key in enumerate(_keys(shape)):
            here = (number, part if several else None)
            first = seen.setdefault(key, here)
            if first != here:
                yield (*here, first)


def _keys(shape: Polygons | Rle) -> Iterator[object]:
    """What equal outlines share; run lengths are equal when their counts and size are."""
    if isinstance(shape, Rle):
        yield shape
        return
    for part in shape.parts:
        yield shape.size, outline_key(part)
