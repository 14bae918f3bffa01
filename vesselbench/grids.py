"""Where a model loses resolution: the sizes an image and its mask pass through (plain data, for plugins)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vesselbench.types import Size


@dataclass(frozen=True)
class Grids:
    """What becomes of an image of a given size; every size is (H, W) in pixels or cells.

    The image is resized to `input` in the upper left of `canvas`; logits come on `output`, a grid over the canvas;
    they go bilinearly to the canvas, lose the padding, and go bilinearly to the image's size. `target` is the grid to
    which the loss shrinks the mask by nearest neighbour, placed in the upper left of `output`; None: the loss reads
    the mask at its own size. `cures`: for "input", "output" or "target", the setting that makes it cost less.

    Source of the path: SAM 2's post-processing (two bilinear steps without anti-aliasing).
    """

    input: Size
    canvas: Size
    output: Size
    target: Size | None = None
    resize: Literal["pad", "squash", "none"] = "none"
    cures: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """ValueError for sizes that do not fit into each other."""
        if min(*self.input, *self.canvas, *self.output, *(self.target or (1, 1))) < 1:
            raise ValueError(f"a side of {self} is below 1")
        if self.input[0] > self.canvas[0] or self.input[1] > self.canvas[1]:
            raise ValueError(f"the input {self.input} is larger than its canvas {self.canvas}")
        if self.target is not None and (self.target[0] > self.output[0] or self.target[1] > self.output[1]):
            raise ValueError(f"the target {self.target} is larger than the output {self.output}")


def whole(size: Size) -> Grids:
    """The grids of a model that works at the image's own size: nothing is lost."""
    return Grids(size, size, size)
