"""What rules of self-configuration go by: facts of a training set and of this machine (no torch, no numpy)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Traits:
    """Of the training images alone. `size`: the median (H, W) in pixels; `pixels`: those in the fields of view, over
    all images; `vessel`: their share that is vessel. `width`, `wide`: median and 95th percentile of the vessels' width
    in pixels along all centre lines; None where nothing is vessel. `bf16`: the device multiplies in bfloat16.
    """

    images: int
    size: tuple[int, int]
    pixels: int
    vessel: float
    width: float | None
    wide: float | None
    bf16: bool

    def lines(self) -> list[str]:
        """The facts in words."""
        widths = (
            "nothing is vessel"
            if self.width is None or self.wide is None
            else f"vessels are {self.width:.1f} pixels wide (median along the centre lines), 95 % up to {self.wide:.1f}"
        )
        return [
            f"{self.images} training images of {self.size[0]} x {self.size[1]} pixels (median), "
            f"{self.pixels:,} pixels in the field of view, {self.vessel:.1%} of them vessel",
            widths,
            f"the device {'multiplies' if self.bf16 else 'does not multiply'} in bfloat16",
        ]


@dataclass(frozen=True)
class Choice:
    """The value that a rule gives to a key, and the reason with its numbers."""

    value: Any
    reason: str
