"""Decoded training examples, kept in memory when they fit: uint8 images and masks of one bit a pixel."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vesselbench.data.images import image_size
from vesselbench.data.read import load_example
from vesselbench.types import BoolMask, Example, Sample, Size

log = logging.getLogger(__name__)
MEMORY = 1 << 30
"""Bytes that the decoded examples of all processes on one machine may take."""


@dataclass(frozen=True)
class PackedMask:
    """A bool mask [H,W] in an eighth of its memory."""

    bits: npt.NDArray[np.uint8]
    size: Size

    @classmethod
    def of(cls, mask: BoolMask) -> PackedMask:
        return cls(np.packbits(mask, axis=None), (int(mask.shape[0]), int(mask.shape[1])))

    def unpack(self) -> BoolMask:
        height, width = self.size
        return np.unpackbits(self.bits, count=height * width).reshape(self.size).astype(np.bool_)


@dataclass(frozen=True)
class PackedExample:
    """An Example whose masks are packed. `image` is shared by the samples of one image: nobody may write to it."""

    sample: Sample
    image: npt.NDArray[np.uint8]
    masks: tuple[PackedMask | None, PackedMask | None, PackedMask | None]

    @classmethod
    def of(cls, example: Example, image: npt.NDArray[np.uint8]) -> PackedExample:
        masks = (example.mask, example.fov, example.observer2)
        first, second, third = (None if mask is None else PackedMask.of(mask) for mask in masks)
        return cls(example.sample, image, (first, second, third))

    def unpack(self) -> Example:
        mask, fov, observer2 = (None if packed is None else packed.unpack() for packed in self.masks)
        return Example(self.sample, self.image, mask, fov, observer2)


class ExampleSource:
    """Examples by position in `samples`: from memory when all of them fit into `limit` bytes, else decoded each time.

    What fits is decoded at once, here: a broken file stops the run before its first step, and loader processes share
    the memory of the process that started them.
    """

    def __init__(self, samples: Sequence[Sample], limit: int = MEMORY) -> None:
        self.samples = list(samples)
        needed = decoded_bytes(self.samples)
        self.kept: list[PackedExample] | None = None
        if needed <= limit:
            self.kept = _decode_all(self.samples)
            log.info("%d training samples are decoded and kept in memory (%.0f MB)", len(self.samples), needed / 1e6)
        else:
            log.info(
                "%d training samples need %.1f GB decoded, more than %.1f GB: each is decoded when it is used",
                *(len(self.samples), needed / 1e9, limit / 1e9),
            )

    def __getitem__(self, index: int) -> Example:
        """The example at `index`. Its image must not be written to. UserError when a file is broken."""
        return self.kept[index].unpack() if self.kept is not None else load_example(self.samples[index])


def decoded_bytes(samples: Sequence[Sample]) -> int:
    """Bytes of the decoded samples, from the headers of the image files."""
    images = {sample.image: image_size(sample.image) for sample in samples}
    masks = sum(
        (images[sample.image][0] * images[sample.image][1] + 7) // 8 * sum(mask is not None for mask in _masks(sample))
        for sample in samples
    )
    return masks + sum(3 * height * width for height, width in images.values())


def _masks(sample: Sample) -> tuple[object, object, object]:
    return sample.mask, sample.fov, sample.observer2


def _decode_all(samples: Sequence[Sample]) -> list[PackedExample]:
    images: dict[str, npt.NDArray[np.uint8]] = {}
    kept = []
    for sample in samples:
        example = load_example(sample)
        kept.append(PackedExample.of(example, images.setdefault(str(sample.image), example.image)))
    return kept
