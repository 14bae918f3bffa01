"""Examples to the tensors of a fully convolutional net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vesselbench import Example, Task


@dataclass(frozen=True)
class Collator:
    """Stacks images of unlike sizes: each standardised over its field of view, padded at the bottom and right.

    Gives ``image`` float32 [B,C,H,W], ``mask`` and ``weight`` float32 [B,1,H,W] (weight 0: padding, outside the field
    of view, or no annotation) and ``channel`` int64 [B] (index of the sample's target). H and W are the batch's
    largest, rounded up to `multiple`.
    """

    task: Task
    multiple: int

    def __call__(self, examples: list[Example]) -> dict[str, Any]:
        height, width = (self._round(max(example.size[axis] for example in examples)) for axis in (0, 1))
        images, masks, weights = [], [], []
        for example in examples:
            padding = ((0, height - example.size[0]), (0, width - example.size[1]))
            images.append(np.pad(standardise(example), ((0, 0), *padding), mode="edge"))
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
        return -(-length // self.multiple) * self.multiple


def standardise(example: Example) -> npt.NDArray[np.float32]:
    """float32 [3,H,W]: mean 0, deviation 1 per channel over the field of view (over all pixels when there is none)."""
    image = example.image.transpose(2, 0, 1).astype(np.float32)
    inside = image[:, example.fov] if example.fov is not None and example.fov.any() else image.reshape(3, -1)
    mean, deviation = inside.mean(axis=1), inside.std(axis=1)
    scale = np.maximum(deviation, 1.0)  # a flat image stays flat
    scaled: npt.NDArray[np.float32] = ((image - mean[:, None, None]) / scale[:, None, None]).astype(np.float32)
    return scaled
