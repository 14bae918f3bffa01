"""The learning rate's course over a training."""

from __future__ import annotations

import math

from vesselbench.config import TrainConfig

POLY_POWER = 0.9


def course(train: TrainConfig, done: float, warmup: float) -> float:
    """Factor of ``train.lr`` when the share `done` of the training is over, the share `warmup` being the warm-up.

    Linear warm-up, then cosine (Loshchilov & Hutter 2017, eq. 5, one period), poly ``(1 - t) ** 0.9`` (Chen et al.
    2017, DeepLab) or constant.
    """
    if done < warmup:
        return done / warmup
    rest = min((done - warmup) / (1 - warmup), 1.0)
    if train.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * rest))
    if train.schedule == "poly":
        return float((1 - rest) ** POLY_POWER)
    return 1.0


def due(step: int, every: int) -> bool:
    """Whether something done every `every` steps (0: never) is due after step `step`."""
    return every > 0 and step % every == 0
