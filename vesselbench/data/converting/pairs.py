"""A copy as images and mask images: 0 and 255 for one target, the numbers 1, 2, ... for several."""

from __future__ import annotations

from collections.abc import Sequence
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
    reading: dict[str, Any] = {IMAGES: IMAGES, "masks": _MASKS} | target_options(scenes, options, "pairs")
    with_fov = all(scene.samples[0].fov is not None for scene in scenes.every)
    for scene in scenes.every:
        _save(folder / _MASKS, scene, [sample.mask for sample in scene.in_order(scenes.targets)])
        if with_fov:
            _save(folder / _FOV, scene, [scene.samples[0].fov])
        seconds = [sample.observer2 for sample in scene.in_order(scenes.targets)]
        if all(second is not None for second in seconds):
            _save(folder / _OBSERVER2, scene, seconds)
            reading[_OBSERVER2] = _OBSERVER2
    return reading | ({_FOV: _FOV} if with_fov else {})


def target_options(scenes: Scenes, options: WriteOptions, form: str) -> dict[str, Any]:
    """The options under which masks of `labels_of` are read; UserError where `form` cannot hold the scenes."""
    if options != WriteOptions():
        raise UserError(f"{form} holds every pixel: write.* changes nothing", "leave it out")
    scenes.require_all_targets(form)
    if len(scenes.targets) > _MOST:
        raise UserError(f"{len(scenes.targets)} targets do not fit into masks of 8 bits", "write coco")
    if len(scenes.targets) == 1:
        ((target, prompt),) = scenes.targets.items()
        return {"target": target, "prompt": prompt}
    values = {target: [number] for number, target in enumerate(scenes.targets, 1)}
    return {"values": values, "prompts": dict(scenes.targets)}


def labels_of(scene: Scene, masks: Sequence[Mask | None], single: int = _MOST) -> npt.NDArray[np.uint8]:
    """uint8 [H,W]: 0, and `single` for the only mask, or 1, 2, ... where there are several, the first on top."""
    pixels: npt.NDArray[np.uint8] = np.zeros(scene.size, dtype=np.uint8)
    for number, mask in reversed(list(enumerate(masks, 1))):
        assert mask is not None
        value = number if len(masks) > 1 else single
        pixels[decode(mask, scene.size, scene.samples[0].origin or scene.stem)] = value
    return pixels


def _save(folder: Path, scene: Scene, masks: Sequence[Mask | None]) -> None:
    path = folder / f"{scene.stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels_of(scene, masks)).save(path)
