"""Where Sa2VA loses resolution: SAM 2's square, its logits at a quarter of that, and the official target."""

from __future__ import annotations

from vesselbench.grids import Grids
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.sizes import Shape
from vesselbench_sa2va.tiling import place

_CURES = {
    "input": "cut the images into overlapping tiles no larger than SAM's square",
    "output": "cut the images into overlapping tiles: a tile that fills SAM's square has more logits per pixel",
    "target": "model.loss_target=full",
}


def grids(config: Sa2VAConfig, shape: Shape, size: tuple[int, int]) -> Grids:
    """The grids of an image of (H, W) = `size`; the target is shrunk as `losses.shrink_masks` does it."""
    side, grid = shape.sam.image, shape.sam.grid
    where = place(size, side, config.resize)
    target = None
    if config.loss_target == "official":
        target = (max(1, round(where.height / side * grid)), max(1, round(where.width / side * grid)))
    cures = _CURES | ({"input": "model.resize=pad"} if config.resize == "squash" and size[0] != size[1] else {})
    return Grids((where.height, where.width), (side, side), (grid, grid), target, config.resize, cures)
