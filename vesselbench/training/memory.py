"""What a training needs in memory, before it starts: model states per rank for every ZeRO stage."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from vesselbench.errors import UserError

OPTIMIZER_BYTES = 12
"""Per trainable parameter: AdamW's two fp32 moments and, in bf16, the fp32 master copy (fp32: 8, no copy)."""
USABLE = 0.7
"""Share of the free memory that model states may take; the rest is for activations and the gathered layer."""
LARGE = 2**30
"""Bytes of weights from which a model is worth building in parts; below, the whole costs no process anything."""


@dataclass(frozen=True)
class States:
    """Bytes per rank that the model states take (activations not included)."""

    stage: int
    weights: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer


def states(frozen: int, trainable: int, stage: int, world: int, precision: str) -> States:
    """Model states of ZeRO stage `stage` on each of `world` ranks (Rajbhandari et al. 2020, §3 and §5).

    Stage 1 splits the optimizer's state over the ranks, 2 the gradients too, 3 the weights too. `frozen` and
    `trainable` are parameters; frozen ones have neither gradient nor state.
    """
    width = 2 if precision == "bf16" else 4
    optimizer = trainable * (OPTIMIZER_BYTES if precision == "bf16" else OPTIMIZER_BYTES - 4)
    weights, gradients = (frozen + trainable) * width, trainable * width
    return States(
        stage,
        weights // world if stage >= 3 else weights,
        gradients // world if stage >= 2 else gradients,
        optimizer // world if stage >= 1 else optimizer,
    )


def free_memory(local_world: int) -> int:
    """Bytes of host memory that one of `local_world` processes may count on now."""
    return int(psutil.virtual_memory().available) // local_world


def lowest_stage(frozen: int, trainable: int, world: int, precision: str, available: int) -> int:
    """The lowest ZeRO stage whose model states fit into `USABLE` of `available` bytes per rank.

    Raises UserError when not even stage 3 fits.
    """
    for stage in range(4):
        if states(frozen, trainable, stage, world, precision).total <= USABLE * available:
            return stage
    need = states(frozen, trainable, 3, world, precision).total
    raise UserError(
        f"the model states need {need / 2**30:.1f} GiB per process even at ZeRO stage 3, "
        f"{available / 2**30:.1f} GiB are free",
        "use more processes (--nproc), train.precision=bf16 or a smaller model",
    )
