"""What is trained and what one sample of it costs, and how a training arranges it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vesselbench.types import Costs

Offload = Literal["none", "optimizer", "both"]
"""What lies in the host's memory: the optimizer's state, or the weights' shares too (ZeRO-3)."""

STORES = ("train.offload.optimizer", "train.offload.parameters")


@dataclass(frozen=True)
class Workload:
    """A model and its batch. Parameters; `batch`: samples per rank and optimizer step."""

    total: int
    trainable: int
    largest_layer: int
    costs: Costs
    batch: int
    world: int
    precision: str
    """bf16, or fp32 and autocast, whose weights are fp32."""
    moments: int = 2
    """Numbers that the optimizer keeps of each trained parameter: AdamW 2, SGD with momentum 1."""
    averaged: bool = False
    """Whether a moving average of the weights is kept (``train.ema``)."""
    loaded_bytes: int = 0
    """Decoded training samples that a rank keeps in the host's memory."""

    @property
    def width(self) -> int:
        """Bytes of a weight."""
        return 2 if self.precision == "bf16" else 4


@dataclass(frozen=True)
class Setting:
    """One way to do the same optimizer step."""

    stage: int
    micro_batch: int
    checkpointing: bool
    offload: Offload

    @property
    def words(self) -> str:
        """For people; `LEGEND` explains it."""
        moved = {"none": "", "optimizer": " O", "both": " OW"}
        return f"{self.stage}{' C' if self.checkpointing else ''}{moved[self.offload]}"

    def overrides(self, own: Setting) -> list[str]:
        """What to write behind a recipe of the setting `own` to get this one."""
        stores = {"none": ("none", "none"), "optimizer": ("cpu", "none"), "both": ("cpu", "cpu")}
        keys = ("train.zero_stage", "train.micro_batch", "model.checkpointing", *STORES)
        mine, given = (
            (one.stage, one.micro_batch, str(one.checkpointing).lower(), *stores[one.offload]) for one in (self, own)
        )
        return [f"{key}={new}" for key, new, old in zip(keys, mine, given, strict=True) if new != old]


LEGEND = "Settings: ZeRO stage; C: checkpointing; O: optimizer in host memory, OW: weights too."


def settings_of(work: Workload, offload: bool) -> list[Setting]:
    """All that are compared: every ZeRO stage, micro-batch that divides the batch, checkpointing, and `offload` where
    the host's memory is another one."""
    checkpointing = [False] if work.costs.checkpointed_bytes is None else [False, True]
    micros = [size for size in range(1, work.batch + 1) if work.batch % size == 0]
    return [
        Setting(stage, micro, kept, moved)
        for stage in range(4)
        for micro in micros
        for kept in checkpointing
        for moved in (_offloads(stage) if offload else ("none",))
    ]


def _offloads(stage: int) -> tuple[Offload, ...]:
    return ("none",) if stage == 0 else ("none", "optimizer") if stage < 3 else ("none", "optimizer", "both")
