"""Examples to the tensors of a fully convolutional net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vesselbench import Example, Task
from vesselbench.contrast import local_contrast, planes_of
from vesselbench_monai.settings import CHANNELS


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
        count = len(examples)
        images = np.empty((count, CHANNELS, height, width), np.float32)
        masks, weights = (np.zeros((count, 1, height, width), np.float32) for _ in range(2))
        for place, example in enumerate(examples):
            part = (..., slice(example.size[0]), slice(example.size[1]))
            _fill(images[place], channels_of(example, self.neighbourhood))
            if example.mask is not None:
                masks[place][part] = example.mask
                weights[place][part] = 1 if example.fov is None else example.fov
        channels = [self.task.index(example.sample.target) for example in examples]
        return {
            "image": torch.from_numpy(images),
            "mask": torch.from_numpy(masks),
            "weight": torch.from_numpy(weights),
            "channel": torch.tensor(channels),
        }

    def _round(self, length: int) -> int:
        return max(2, -(-length // self.multiple)) * self.multiple  # instance norm needs two pixels at the lowest level


def channels_of(example: Example, neighbourhood: int) -> npt.NDArray[np.float32]:
    """float32 [6,H,W]: the image in [-1, 1], then its `local_contrast`."""
    image = planes_of(example.image)
    found = np.empty((CHANNELS, *example.size), np.float32)
    local_contrast(image, example.fov, neighbourhood, out=found[3:])
    np.subtract(np.divide(image, np.float32(127.5), out=image), 1, out=found[:3])
    return found


def _fill(target: npt.NDArray[np.float32], planes: npt.NDArray[np.float32]) -> None:
    """`planes` [C,h,w] at the top left of `target` [C,H,W], their last row and column repeated to its end."""
    height, width = planes.shape[1:]
    target[:, :height, :width] = planes
    target[:, :height, width:] = planes[:, :, -1:]
    target[:, height:] = target[:, height - 1 : height]
