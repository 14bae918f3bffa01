"""Examples to the tensors of a fully convolutional net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import uniform_filter

from vesselbench import Example, Task

FLAT = 2.0
"""Grey levels: a neighbourhood that varies less is flat, and its noise is not blown up to full contrast."""


@dataclass(frozen=True)
class Collator:
    """Stacks images of unlike sizes, padded at the bottom and right.

    Gives ``image`` float32 [B,6,H,W] (see `channels_of`), ``mask`` and ``weight`` float32 [B,1,H,W] (weight 0: padding,
    outside the field of view, or no annotation) and ``channel`` int64 [B] (index of the sample's target). H and W are
    the batch's largest, rounded up to `multiple`, at least twice that.
    """

    task: Task
    multiple: int
    neighbourhood: int

    def __call__(self, examples: list[Example]) -> dict[str, Any]:
        height, width = (self._round(max(example.size[axis] for example in examples)) for axis in (0, 1))
        images, masks, weights = [], [], []
        for example in examples:
            padding = ((0, height - example.size[0]), (0, width - example.size[1]))
            images.append(np.pad(channels_of(example, self.neighbourhood), ((0, 0), *padding), mode="edge"))
            known = np.ones(example.size, bool) if example.fov is None else example.fov
            mask = np.zeros(example.size, bool) if example.mask is None else example.mask
            masks.append(np.pad(mask, padding)[None])
            weights.append(np.pad(known & (example.mask is not None), padding)[None])
        channels = [self.task.index(example.sample.target) for example in examples]
        return {
            "image": torch.from_numpy(np.stack(images)),
            "mask": torch.from_numpy(np.stack(masks)).float(),
            "weight": torch.from_numpy(np.stack(weights)).float(),
            "channel": torch.tensor(channels),
        }

    def _round(self, length: int) -> int:
        return max(2, -(-length // self.multiple)) * self.multiple  # instance norm needs two pixels at the lowest level


def channels_of(example: Example, neighbourhood: int) -> npt.NDArray[np.float32]:
    """float32 [6,H,W]: the image in [-1, 1], then its local contrast, so that uneven light does not matter.

    Local contrast is (I - mean) / deviation over the pixels of the field of view in a square of `neighbourhood` pixels.
    Both depend on nothing farther away than that: a crop looks the same as that part of the whole image.
    """
    image = example.image.transpose(2, 0, 1).astype(np.float32)
    inside = np.ones(example.size, np.float32) if example.fov is None else example.fov.astype(np.float32)
    share = np.maximum(_box(inside, neighbourhood), 1e-3)
    mean = _box(image * inside, neighbourhood) / share
    square = _box(image**2 * inside, neighbourhood) / share
    deviation = np.sqrt(np.maximum(square - mean**2, FLAT**2))
    local = (image - mean) / deviation * inside
    return np.concatenate([image / np.float32(127.5) - 1, local]).astype(np.float32, copy=False)


def _box(values: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """Mean over a square of `side` pixels around each pixel of the last two axes."""
    mean: npt.NDArray[np.float32] = uniform_filter(values, (0,) * (values.ndim - 2) + (side, side), mode="reflect")
    return mean
