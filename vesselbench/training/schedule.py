"""The learning rate's course over the optimizer steps."""

from __future__ import annotations

import math

from vesselbench.config import TrainConfig

POLY_POWER = 0.9


def learning_rate_factor(train: TrainConfig, step: int) -> float:
    """Factor of ``train.lr`` used by optimizer step `step` (0 is the first), in (0, 1].

    Linear warm-up over ``warmup * steps`` steps, then cosine (Loshchilov & Hutter 2017, eq. 5, one period), poly
    ``(1 - t) ** 0.9`` (Chen et al. 2017, DeepLab) or constant.
    """
    warm = round(train.warmup * train.steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    done = min((step - warm) / max(1, train.steps - warm), 1.0)
    if train.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if train.schedule == "poly":
        return float((1 - done) ** POLY_POWER)
    return 1.0


def due(step: int, every: int) -> bool:
    """Whether something done every `every` steps (0: never) is due after step `step`."""
    return every > 0 and step % every == 0
