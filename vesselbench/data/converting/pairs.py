"""A copy as images and mask images: 0 and 255 for one target, the numbers 1, 2, ... for several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesselbench.data.converting.scene import IMAGES, Scene, Scenes, WriteOptions
from vesselbench.data.masks import decode
from vesselbench.errors import UserError
from vesselbench.types import Mask

_MASKS, _FOV, _OBSERVER2 = "masks", "fov", "observer2"
_MOST = 255


def write_pairs(folder: Path, scenes: Scenes, options: WriteOptions) -> dict[str, Any]:
    """``masks/STEM.png``, and ``fov`` and ``observer2`` where they are known (fov: of all images, or it is left out).

    Where targets overlap a class-id mask holds the first of them by name: what that costs is measured. Every pixel is
    written, so that `options` change nothing. UserError for more than 255 targets.
    """
    if options != WriteOptions():
        raise UserError("pairs hold every pixel: write.* changes nothing", "leave it out")
    scenes.require_all_targets("pairs")
    if len(scenes.targets) > _MOST:
        raise UserError(f"{len(scenes.targets)} targets do not fit into masks of 8 bits", "write coco")
    reading: dict[str, Any] = {IMAGES: IMAGES, "masks": _MASKS} | _targets(scenes)
    with_fov = all(scene.samples[0].fov is not None for scene in scenes.every)
    for scene in scenes.every:
        _save(folder / _MASKS, scene, [sample.mask for sample in _in_order(scene, scenes)])
        if with_fov:
            _save(folder / _FOV, scene, [scene.samples[0].fov])
        seconds = [sample.observer2 for sample in _in_order(scene, scenes)]
        if all(second is not None for second in seconds):
            _save(folder / _OBSERVER2, scene, seconds)
            reading[_OBSERVER2] = _OBSERVER2
    return reading | ({_FOV: _FOV} if with_fov else {})


def _targets(scenes: Scenes) -> dict[str, Any]:
    if len(scenes.targets) == 1:
        ((target, prompt),) = scenes.targets.items()
        return {"target": target, "prompt": prompt}
    values = {target: [number] for number, target in enumerate(scenes.targets, 1)}
    return {"values": values, "prompts": dict(scenes.targets)}


def _in_order(scene: Scene, scenes: Scenes) -> list[Any]:
    return [scene.sample(target) for target in scenes.targets]


def _save(folder: Path, scene: Scene, masks: list[Mask | None]) -> None:
    pixels: npt.NDArray[np.uint8] = np.zeros(scene.size, dtype=np.uint8)
    for number, mask in reversed(list(enumerate(masks, 1))):
        assert mask is not None
        value = number if len(masks) > 1 else _MOST
        pixels[decode(mask, scene.size, scene.samples[0].origin or scene.stem)] = value
    path = folder / f"{scene.stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
