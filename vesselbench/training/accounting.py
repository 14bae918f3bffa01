"""What a training is going to do, counted before its first step, in numbers that cannot be mixed up."""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from vesselbench.config import TrainConfig
from vesselbench.data.loader import accumulation, units_of
from vesselbench.model import trained_names
from vesselbench.quantities import duration, size
from vesselbench.sharding import whole_numel
from vesselbench.training.memory import states
from vesselbench.types import Sample

PROBE = 5
"""Steps after which the duration of a training is foreseen."""


@dataclass(frozen=True)
class Accounting:
    """All counts of one training. None: the clock ends it, so nobody knows.

    `unit`: what ``train.batch_size`` counts; `state_bytes`: model states per process as planned (see `memory.states`);
    `checkpoint_bytes`: of one checkpoint.
    """

    length: str
    unit: str
    sets: Mapping[str, Mapping[str, int]]
    """set -> images, samples, groups"""
    training_set: int
    """Units of the training set."""
    optimizer_steps: int | None
    effective_batch: int
    world: int
    micro_batch: int
    accumulation: int
    parts: Mapping[str, tuple[int, int]]
    """part -> (parameters, trainable ones), counted whole"""
    zero_stage: int
    state_bytes: Mapping[str, int]
    checkpoints: int | None
    checkpoints_kept: int
    """At most, at once."""
    checkpoint_bytes: int
    free_disk_bytes: int

    @property
    def micro_batches(self) -> int | None:
        """Per process."""
        return None if self.optimizer_steps is None else self.optimizer_steps * self.accumulation

    @property
    def seen(self) -> int | None:
        """Units, over all processes."""
        return None if self.optimizer_steps is None else self.optimizer_steps * self.effective_batch

    @property
    def epochs(self) -> float | None:
        return None if self.seen is None else self.seen / self.training_set

    @property
    def parameters(self) -> tuple[int, int]:
        """(all, trainable)."""
        return sum(part[0] for part in self.parts.values()), sum(part[1] for part in self.parts.values())

    def as_json(self) -> dict[str, Any]:
        """For run.json: the fields and what follows from them."""
        total, trainable = self.parameters
        return {
            **asdict(self),
            "micro_batches": self.micro_batches,
            "seen": self.seen,
            "epochs": self.epochs,
            "trainable_share": trainable / total,
        }

    def rows(self) -> list[tuple[str, str]]:
        """The same as lines (what, how much) for people."""
        total, trainable = self.parameters
        processes = "1 process" if self.world == 1 else f"{self.world} processes"
        batch = (
            f"{self.effective_batch} {self.unit} = {processes} x {self.micro_batch} per micro-batch x "
            f"{self.accumulation} accumulated"
        )
        of_set = f"{self.training_set:,} {self.unit}"
        return [
            *((f"{name} set", _counts(sizes)) for name, sizes in self.sets.items()),
            ("length", self.length),
            ("optimizer steps", _known(self.optimizer_steps)),
            ("effective batch", batch),
            ("micro-batches", f"{_known(self.micro_batches)} per process"),
            (f"{self.unit} seen", _known(self.seen)),
            ("epochs", "not known" if self.epochs is None else f"{self.epochs:.1f} passes over {of_set}"),
            *(
                (f"parameters of {name}", f"{count:,}, trainable {learned:,}")
                for name, (count, learned) in self.parts.items()
            ),
            ("parameters in all", f"{total:,}, trainable {trainable:,} ({trainable / total:.2%})"),
            ("foreseen per process", self._states()),
            ("checkpoints", self._checkpoints()),
        ]

    def _states(self) -> str:
        parts = " + ".join(f"{name} {size(count)}" for name, count in self.state_bytes.items())
        return (
            f"{size(sum(self.state_bytes.values()))} = {parts}, at ZeRO stage {self.zero_stage}; not in it: "
            "activations, gathered layers, loaded data and the libraries"
        )

    def _checkpoints(self) -> str:
        count = "an unknown number" if self.checkpoints is None else f"{self.checkpoints}"
        return (
            f"{count} of about {size(self.checkpoint_bytes)} each will be written, at most {self.checkpoints_kept} "
            f"kept: {size(self.checkpoints_kept * self.checkpoint_bytes)} of {size(self.free_disk_bytes)} free"
        )


def account(
    train: TrainConfig,
    length: str,
    steps: int | None,
    sets: Mapping[str, Sequence[Sample]],
    module: torch.nn.Module,
    parts: Mapping[str, tuple[int, int]],
    *,
    stage: int,
    world: int,
    by_image: bool,
    lowered: bool,
    folder: Path,
) -> Accounting:
    """Count a training. `steps`: optimizer steps, None when the clock ends it; `lowered`: weights are in bfloat16;
    `folder`: where checkpoints go."""
    micro, accumulated = accumulation(train, world)
    total, trainable = sum(part[0] for part in parts.values()), sum(part[1] for part in parts.values())
    planned = states(total - trainable, trainable, stage, world, "bf16" if lowered else "fp32")
    written = None if steps is None else len(checkpoint_steps(train, steps))
    kept = train.keep + 1  # the best one beside the newest
    return Accounting(
        length=length,
        unit="images" if by_image else "samples",
        sets={name: _sizes(members) for name, members in sets.items()},
        training_set=len(units_of(sets["train"], by_image)),
        optimizer_steps=steps,
        effective_batch=train.batch_size,
        world=world,
        micro_batch=micro,
        accumulation=accumulated,
        parts=dict(parts),
        zero_stage=stage,
        state_bytes={"weights": planned.weights, "gradients": planned.gradients, "optimizer": planned.optimizer},
        checkpoints=written,
        checkpoints_kept=kept if written is None else min(written, kept),
        checkpoint_bytes=checkpoint_bytes(module, train, lowered),
        free_disk_bytes=shutil.disk_usage(folder).free,
    )


def checkpoint_steps(train: TrainConfig, steps: int) -> set[int]:
    """Optimizer steps after which a checkpoint is written."""
    due = {steps}
    for every in (train.validate_every, train.save_every):
        due |= set(range(every, steps + 1, every)) if every else set()
    return due


def checkpoint_bytes(module: torch.nn.Module, train: TrainConfig, lowered: bool) -> int:
    """Bytes of one checkpoint: trained parameters and buffers as they are held, and the optimizer's state in fp32."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    weights = sum(whole_numel(tensors[name]) * tensors[name].element_size() for name in trained_names(module))
    learned = sum(whole_numel(parameter) for parameter in module.parameters() if parameter.requires_grad)
    moments = 2 if train.optimizer == "adamw" else int(train.momentum > 0)
    averaged = 2 if train.ema else 0  # the average, and the weights beside it
    return weights + 4 * learned * (moments + lowered + averaged)


@dataclass
class Forecast:
    """How long a training will take, said once: after `PROBE` steps, from these steps themselves.

    smoke_seconds: what the validation of one image took before the first step; images: of the validation set.
    """

    train: TrainConfig
    steps: int | None
    world: int
    images: int
    smoke_seconds: float
    measured: list[float] = field(default_factory=list)

    def after(self, step: int, seconds: float) -> tuple[float, str] | None:
        """Note a step of so many seconds; after the `PROBE`-th: seconds still to go, and how they come about."""
        self.measured.append(seconds)
        return self.foretell(step) if len(self.measured) == PROBE else None

    def learn(self, seconds: float) -> None:
        """The whole validation set took so long, before the first step: it stands in for the one image."""
        self.smoke_seconds = seconds / max(1, math.ceil(self.images / self.world))

    def foretell(self, step: int) -> tuple[float, str]:
        """The same now, after step `step`."""
        steady = self.measured[1:] or self.measured
        each = statistics.fmean(steady)
        looked = f"the mean of {len(steady)} step{'s' if len(steady) > 1 else ''}, the first left out"
        rounds = self._validations(step)
        one = self.smoke_seconds * math.ceil(self.images / self.world)
        checks = rounds * one + self.smoke_seconds * self.images
        told = (
            f"{rounds} validation{'' if rounds == 1 else 's'} of {self.images} images at {duration(one)} "
            f"and the last scoring at {duration(self.smoke_seconds * self.images)}, "
            "by what was validated before the start"
        )
        if self.steps is None:
            left = max(0.0, 60 * (self.train.minutes or 0.0) - sum(self.measured))
            return (
                left + checks,
                f"about {duration(left + checks)} to go: {duration(left)} of steps by the clock; {told}",
            )
        left = (self.steps - step) * each
        return left + checks, (
            f"about {duration(left + checks)} to go: {self.steps - step:,} steps of {duration(each)} ({looked}) = "
            f"{duration(left)}; {told}. Checkpoints are not in it"
        )

    def _validations(self, step: int) -> int:
        """Those still to come; by the clock the last one alone is sure."""
        if self.steps is None:
            return 1
        every = self.train.validate_every
        due = {self.steps} | (set(range(every, self.steps + 1, every)) if every else set())
        return sum(place > step for place in due)


def _sizes(members: Sequence[Sample]) -> dict[str, int]:
    return {
        "images": len({sample.image for sample in members}),
        "samples": len(members),
        "groups": len({sample.group for sample in members}),
    }


def _counts(sizes: Mapping[str, int]) -> str:
    return f"{sizes['samples']:,} samples in {sizes['images']:,} images of {sizes['groups']:,} groups"


def _known(count: int | None) -> str:
    return "not known: the clock ends it" if count is None else f"{count:,}"
