"""The shapes of a sample in pixels of its image, in the form that a format can hold."""

from __future__ import annotations

import numpy as np

from vesselbench.data.converting.scene import WriteOptions
from vesselbench.data.converting.tracing import trace
from vesselbench.data.masks import decode, encode_rle
from vesselbench.types import MaskFile, Polygons, Rle, Sample, Size

Shape = Polygons | Rle


def polygons_of(sample: Sample, size: Size, options: WriteOptions) -> list[Polygons]:
    """Polygons that are drawn stay as they are, scaled to `size` (H, W); everything else is traced from its pixels.

    Shapes without a pixel are left out. Raises Fault as `masks.decode`.
    """
    found = []
    for shape in _shapes(sample):
        if isinstance(shape, Polygons):
            found.append(scaled(shape, size))
            continue
        mask = decode(shape if isinstance(shape, MaskFile) else (shape,), size, sample.origin or sample.id)
        traced = trace(mask, options.holes, options.tolerance)
        found += [traced] if traced else []
    return found


def shapes_of(sample: Sample, size: Size, options: WriteOptions) -> list[Shape]:
    """Polygons and run lengths for a format that holds both, see ``WriteOptions.masks``. Raises Fault as `decode`."""
    if options.masks == "polygons":
        return list(polygons_of(sample, size, options))
    found: list[Shape] = []
    for shape in _shapes(sample):
        if options.masks == "auto" and isinstance(shape, Polygons):
            found.append(scaled(shape, size))
            continue
        mask = decode(shape if isinstance(shape, MaskFile) else (shape,), size, sample.origin or sample.id)
        if mask.any():
            found.append(encode_rle(mask))
    return found


def scaled(polygons: Polygons, size: Size) -> Polygons:
    """The same outlines in pixels of an image of `size` (H, W), multiplied as the decoder does it."""
    height, width = polygons.size or size
    factors = np.array([size[1] / width, size[0] / height])
    parts = [tuple((np.reshape(part, (-1, 2)) * factors).ravel().tolist()) for part in polygons.parts]
    return Polygons(tuple(parts), size)


def _shapes(sample: Sample) -> tuple[Shape | MaskFile, ...]:
    if sample.mask is None:
        return ()
    return (sample.mask,) if isinstance(sample.mask, MaskFile) else sample.mask
