"""Random changes of one training example: image and masks together (numpy only)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vesselbench.config import AugmentConfig
from vesselbench.types import Example, Size

Array = npt.NDArray[Any]
Change = Callable[[Array], Array]


def augment(example: Example, config: AugmentConfig, rng: np.random.Generator) -> Example:
    """A changed copy: crop, mirror and turn the image and all its masks alike, then shift the image's grey values.

    The random numbers drawn do not depend on `config`, so that switching one change off leaves the others as they were.
    The image stays uint8 [H,W,3], the masks bool. A side shorter than ``config.crop`` is not cropped.
    """
    place = rng.random(2)
    mirrored = rng.random(2) < 0.5
    quarters = int(rng.integers(4))
    turns = quarters if config.rotate else 0
    shift, gain = rng.uniform(-1, 1, 2)
    changes = [_crop(example.size, config.crop, place)] if config.crop is not None else []
    if config.flip:
        changes += [_flip(axis) for axis in (0, 1) if mirrored[axis]]
    if turns:
        changes.append(lambda plane: np.rot90(plane, turns))
    spacing = example.sample.spacing
    if turns % 2 and spacing is not None:
        spacing = (spacing[1], spacing[0])
    image = _apply(example.image, changes)
    assert image is not None
    return Example(
        sample=replace(example.sample, spacing=spacing),
        image=_regrey(image, shift * config.brightness * 255, 1 + gain * config.contrast),
        mask=_apply(example.mask, changes),
        fov=_apply(example.fov, changes),
        observer2=_apply(example.observer2, changes),
    )


def _apply(plane: Array | None, changes: list[Change]) -> Array | None:
    if plane is None:
        return None
    for change in changes:
        plane = change(plane)
    return np.array(plane)  # a copy: views with negative strides are refused by torch


def _flip(axis: int) -> Change:
    return lambda plane: np.flip(plane, axis)


def _crop(size: Size, side: int, place: npt.NDArray[np.float64]) -> Change:
    height, width = (min(side, length) for length in size)
    top, left = int(place[0] * (size[0] - height + 1)), int(place[1] * (size[1] - width + 1))
    return lambda plane: plane[top : top + height, left : left + width]


def _regrey(image: npt.NDArray[np.uint8], shift: float, gain: float) -> npt.NDArray[np.uint8]:
    if shift == 0 and gain == 1:
        return image
    values = image.astype(np.float32)
    mean = values.mean()
    changed = (values - mean) * np.float32(gain) + (mean + np.float32(shift))
    grey: npt.NDArray[np.uint8] = np.rint(np.clip(changed, 0, 255)).astype(np.uint8)
    return grey
