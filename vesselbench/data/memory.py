"""Decoded training examples, kept in memory when they fit: uint8 images and masks of one bit a pixel."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vesselbench.data.cache import Keys, MaskCache, PackedMask, load_with
from vesselbench.data.images import image_size
from vesselbench.data.read import load_example
from vesselbench.types import Example, Sample, Size

log = logging.getLogger(__name__)
MEMORY = 1 << 30
"""Bytes that the decoded examples of all processes on one machine may take."""


@dataclass(frozen=True)
class PackedExample:
    """An Example whose masks are packed. `image` is shared by the samples of one image: nobody may write to it."""

    sample: Sample
    image: npt.NDArray[np.uint8]
    masks: tuple[PackedMask | None, PackedMask | None, PackedMask | None]

    @classmethod
    def of(cls, example: Example, image: npt.NDArray[np.uint8]) -> PackedExample:
        image.setflags(write=False)
        masks = (example.mask, example.fov, example.observer2)
        first, second, third = (None if mask is None else PackedMask.of(mask) for mask in masks)
        return cls(example.sample, image, (first, second, third))

    def unpack(self) -> Example:
        mask, fov, observer2 = (None if packed is None else packed.unpack() for packed in self.masks)
        return Example(self.sample, self.image, mask, fov, observer2)


class ExampleSource:
    """Examples by position in `samples`: from memory when all of them fit into `limit` bytes, else from the files.

    What fits is decoded at once, here: a broken file stops the run before its first step, and loader processes share
    the memory of the process that started them. What does not fit is read each time, its masks from `cache` where there
    is one: after the first time no polygon is read again.
    """

    def __init__(self, samples: Sequence[Sample], limit: int = MEMORY, cache: MaskCache | None = None) -> None:
        self.samples, self.cache = list(samples), cache
        sizes = _sizes(self.samples)
        needed = _bytes(self.samples, sizes)
        self.kept: list[PackedExample] | None = None
        self.keys: list[Keys] | None = None
        if needed <= limit:
            self.kept = _decode_all(self.samples, cache)
            log.info("%d training samples are decoded and kept in memory (%.0f MB)", len(self.samples), needed / 1e6)
            return
        if cache is not None:
            self.keys = [cache.keys(sample, sizes[sample.image]) for sample in self.samples]
        log.info(
            "%d training samples need %.1f GB decoded, more than %.1f GB: each is %s when it is used",
            *(len(self.samples), needed / 1e9, limit / 1e9),
            "decoded" if cache is None else f"read, its masks from {cache.folder},",
        )

    def __getitem__(self, index: int) -> Example:
        """The example at `index`. Its image must not be written to. UserError when a file is broken."""
        if self.kept is not None:
            return self.kept[index].unpack()
        if self.cache is None or self.keys is None:
            return load_example(self.samples[index])
        return self.cache.load(self.samples[index], self.keys[index])


def decoded_bytes(samples: Sequence[Sample]) -> int:
    """Bytes of the decoded samples, from the headers of the image files."""
    return _bytes(samples, _sizes(samples))


def _sizes(samples: Sequence[Sample]) -> dict[Path, Size]:
    return {image: image_size(image) for image in dict.fromkeys(sample.image for sample in samples)}


def _bytes(samples: Sequence[Sample], sizes: Mapping[Path, Size]) -> int:
    masks = sum(
        (sizes[sample.image][0] * sizes[sample.image][1] + 7) // 8 * sum(mask is not None for mask in _masks(sample))
        for sample in samples
    )
    return masks + sum(3 * height * width for height, width in sizes.values())


def _masks(sample: Sample) -> tuple[object, object, object]:
    return sample.mask, sample.fov, sample.observer2


def _decode_all(samples: Sequence[Sample], cache: MaskCache | None) -> list[PackedExample]:
    images: dict[str, npt.NDArray[np.uint8]] = {}
    kept = []
    for sample in samples:
        example = load_with(cache, sample)
        kept.append(PackedExample.of(example, images.setdefault(str(sample.image), example.image)))
    return kept
