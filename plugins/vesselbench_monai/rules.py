"""Self-configuration of the baselines: what follows from the training images, by rule (no torch).

The rules are fixed points through one measured setting (CHASE_DB1, docs/baselines.md), scaled by what differs between
data sets: the width of the vessels, the size of the images, the number of pixels. nnU-Net's idea (Isensee et al. 2021),
with the vessels' width in the place of the spacing.
"""

from __future__ import annotations

import math

from vesselbench.traits import Choice, Traits
from vesselbench_monai.settings import LevelsConfig, NetConfig

BATCH_PIXELS = 4 * 192**2
"""Pixels of a step in the measured setting."""
PASSES = 36
"""How often a training sees every pixel of the field of view."""
STEPS = (400, 6000)
WIDE = 12.0
"""Pixels that a wide vessel is taken for where nothing in the training masks is vessel; the reasons say so."""
UNIT = 32
"""Windows are multiples of it, whatever the number of levels."""


def rules(config: NetConfig, traits: Traits) -> dict[str, Choice]:
    """A choice for each key that there is a rule for."""
    wide = WIDE if traits.wide is None else traits.wide
    seen_wide = f"{wide:.1f} px wide" + (": assumed, nothing is vessel" if traits.wide is None else "")
    side = _window(wide, min(traits.size))
    batch = max(2, min(16, 2 ** round(math.log2(BATCH_PIXELS / side**2))))
    seen = PASSES * traits.pixels / (batch * side**2)
    steps = max(STEPS[0], min(STEPS[1], round(seen / 100) * 100))
    near = max(25, min(99, 2 * round(2 * wide) + 1))
    window = Choice(side, f"16 widths of the wide vessels, 128 to 256, and no more than the image ({seen_wide})")
    choices = {
        "model.neighbourhood": Choice(near, f"4 widths of the wide vessels, odd, 25 to 99 ({seen_wide})"),
        "model.window": window,
        "train.augment.crop": Choice(side, "the window of the prediction: instance norm then sees what it learned on"),
        "train.batch_size": Choice(batch, f"about {BATCH_PIXELS:,} pixels in a step, a power of two of crops, 2 to 16"),
        "train.steps": Choice(
            steps, f"each of {traits.pixels:,} pixels is seen {PASSES} times, in {STEPS[0]} to {STEPS[1]} steps"
        ),
        "train.precision": Choice(
            "autocast" if traits.bf16 else "fp32",
            "products in bfloat16 where the device has them: 70 instead of 96 ms for both passes (measured)",
        ),
    }
    if isinstance(config, LevelsConfig):
        levels = max(4, min(6, round(math.log2(wide))))
        first = config.channels[0]
        reason = f"{levels} levels (4 to 6), so that a pixel of the lowest is as large as a wide vessel ({seen_wide})"
        choices["model.channels"] = Choice([first * 2**level for level in range(levels)], reason)
    return choices


def _window(wide: float, shorter: int) -> int:
    wanted = max(128, min(256, round(16 * wide / UNIT) * UNIT))
    return max(2 * UNIT, min(wanted, -(-shorter // UNIT) * UNIT))
