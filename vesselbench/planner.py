"""What a recipe needs and costs, said before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from vesselbench.config import Recipe
from vesselbench.config.data import SplitConfig
from vesselbench.configuring import configured
from vesselbench.data.dataset import load_dataset
from vesselbench.data.loader import accumulation, units_of
from vesselbench.data.memory import MEMORY, decoded_bytes
from vesselbench.data.read import read_samples
from vesselbench.errors import UserError
from vesselbench.hookspecs import ModelPlugin
from vesselbench.planning.footing import Memory, memory_of
from vesselbench.planning.hardware import Device, Interconnect, device_named, interconnect_named
from vesselbench.planning.host import Disk, disk_of, host_bytes
from vesselbench.planning.probe import Calibration
from vesselbench.planning.roofline import Seconds, seconds_of
from vesselbench.planning.workload import Offload, Setting, Workload, settings_of
from vesselbench.plugins import Catalogue, is_trained
from vesselbench.recipes import model_settings
from vesselbench.training.budget import steps_of
from vesselbench.training.memory import lowest_stage
from vesselbench.types import Sample, Task, targets_of

SHORT = 0.1
"""Seconds of a micro-batch below which Python may take most of it: a forward and a backward pass of 1,200 small modules
under ZeRO-3 took 0.16 s on a processor, whatever they compute; an assumption for a GPU, whose host runs the same."""
USABLE = 0.95
"""Share of a device's memory that a training can fill: the driver keeps some, and the allocator leaves gaps."""


@dataclass(frozen=True)
class Foreseen:
    """One setting of the recipe's training: what it holds, how long a step takes, whether it fits."""

    setting: Setting
    memory: Memory
    host: int
    """Bytes of the host's memory that all ranks need."""
    seconds: Seconds
    fits: bool

    def as_json(self) -> dict[str, Any]:
        """Bytes and seconds per optimizer step."""
        return {
            **asdict(self.setting),
            "memory": {**asdict(self.memory), "total": self.memory.total},
            "host_bytes": self.host,
            "seconds": {**asdict(self.seconds), "total": self.seconds.total, "limit": self.seconds.limit},
            "fits": self.fits,
        }


@dataclass(frozen=True)
class Plan:
    """parts: (parameters, trainable ones) by name; notes: what the model says of them; own: the recipe's setting;
    ranked: all settings, those that fit first, then by time; steps: None when the clock ends the training.
    """

    parts: dict[str, tuple[int, int]]
    notes: tuple[str, ...]
    work: Workload
    device: Device
    link: Interconnect
    own: Foreseen
    ranked: tuple[Foreseen, ...]
    steps: int | None
    disk: Disk
    calibration: Calibration | None = None
    """None: seconds are the roofline's."""

    @property
    def room(self) -> float:
        """Bytes that a rank may fill."""
        return room_of(self.device, self.work.world)

    @property
    def larger(self) -> Foreseen | None:
        """The fastest of the recipe's stage, checkpointing and offload that fits and has a larger micro-batch."""
        own = self.own.setting
        alike = (one for one in self._fitting if one.setting.words == own.words)
        return next((one for one in alike if one.setting.micro_batch > own.micro_batch), None)

    @property
    def fastest(self) -> Foreseen | None:
        """The fastest that fits; None where it is the recipe's own."""
        best = next(iter(self._fitting), None)
        return None if best is None or best.setting == self.own.setting else best

    @property
    def _fitting(self) -> list[Foreseen]:
        """Those that fit and are faster than the recipe's own by 1 % at least, fastest first."""
        return [one for one in self.ranked if one.fits and self.gain(one) >= 1.01]

    def gain(self, of: Foreseen) -> float:
        """Times as fast as the recipe's own setting."""
        return self.own.seconds.total / of.seconds.total

    @property
    def is_lower_bound(self) -> bool:
        """Whether Python's own time, which no roofline knows, may be most of a step: on a processor, or where a
        micro-batch is foreseen to be shorter than `SHORT`, and nothing was measured."""
        micros = self.work.batch // self.own.setting.micro_batch
        short = self.own.seconds.total / micros < SHORT
        return self.calibration is None and (self.device.kind == "cpu" or short)

    def hours(self, of: Foreseen) -> float | None:
        """Of training steps; validation, loading and checkpoints are not in it."""
        return None if self.steps is None else self.steps * of.seconds.total / 3600

    def kilowatt_hours(self, of: Foreseen) -> float | None:
        """At the devices' full power, so at the most; the host is not in it."""
        hours = self.hours(of)
        return None if hours is None else hours * self.device.watts * self.devices / 1000

    @property
    def devices(self) -> int:
        """Ranks on a processor share it."""
        return self.work.world if self.device.kind == "cuda" else 1

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values: bytes, seconds, hours, kWh."""
        return {
            "parts": self.parts,
            "notes": self.notes,
            "world": self.work.world,
            "precision": self.work.precision,
            "samples_per_rank_and_step": self.work.batch,
            "costs": asdict(self.work.costs),
            "device": self.device.model_dump(),
            "interconnect": self.link.model_dump(),
            "steps": self.steps,
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "hours": self.hours(self.own),
            "kilowatt_hours": self.kilowatt_hours(self.own),
            "checkpoints": {**asdict(self.disk), "total": self.disk.total},
            "lower_bound": self.is_lower_bound,
            "own": self.own.as_json(),
            "gain": {name: self._as_gain(one) for name, one in (("larger", self.larger), ("fastest", self.fastest))},
            "settings": [one.as_json() for one in self.ranked],
        }

    def _as_gain(self, one: Foreseen | None) -> dict[str, Any] | None:
        if one is None:
            return None
        words = one.setting.overrides(self.own.setting)
        return {"overrides": words, "factor": self.gain(one), **one.as_json()}


def room_of(device: Device, world: int) -> float:
    """Bytes that a rank may fill; the ranks on a processor share its memory."""
    return USABLE * device.memory_gib * 2**30 / (world if device.kind == "cpu" else 1)


def settled(recipe: Recipe, catalogue: Catalogue, device: str) -> tuple[Recipe, list[str]]:
    """The recipe with what its rules choose from the training images, and lines that say each value; as it is, with
    the values that are assumed and why, where the images cannot be used. UserError for an unknown device."""
    if not recipe.configure:
        return recipe, []
    where = device_named(device)
    peak = where.peak_tflops
    try:
        dataset = load_dataset(recipe.data, catalogue)
        bf16 = peak["bf16"] > peak["fp32"] if where.kind == "cuda" else None
        found, plan = configured(recipe, dataset, catalogue, torch.device("cpu"), bf16)
    except UserError as error:
        values = recipe.model_dump(mode="json")
        assumed = ", ".join(f"{key}={_value(values, key)}" for key in recipe.configure)
        return recipe, [f"the rules of `configure` cannot choose: {error.message}", f"assumed instead: {assumed}"]
    return found, ["by the rules of `configure`, from the training images:", *(plan or "").splitlines()]


def _value(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part, "the model's default")
        if not isinstance(values, dict):
            break
    return values


def make_plan(
    recipe: Recipe, catalogue: Catalogue, world: int, device: str = "cpu-2core", interconnect: str | None = None
) -> Plan:
    """Count the model of a recipe (by the plugin's footprint where it states costs, else by building and running it)
    and foresee its training. The interconnect is PCIe 3.0, or shared memory on a processor, unless another is named.

    Raises UserError for a model with nothing to train, for an unknown name and for a batch that `world` processes
    cannot share.
    """
    model = recipe.model["name"]
    if not is_trained(catalogue.models[model]):
        raise UserError(f"the model {model!r} has nothing to train: there is nothing to plan", "train it at once")
    where = device_named(device)
    link = interconnect_named(interconnect or ("shared-memory" if where.kind == "cpu" else "pcie3"))
    samples = read_samples(recipe.data, catalogue)
    plugin, config = model_settings(recipe, catalogue)
    parts, notes, work = _workload(recipe, catalogue, world, samples)
    room = room_of(where, world)
    settings = settings_of(work, offload=where.kind == "cuda")
    ranked = sorted((_foresee(work, one, where, link, room) for one in settings), key=_order)
    own = _foresee(work, _own(recipe, work, getattr(config, "checkpointing", False), room), where, link, room)
    steps = steps_of(recipe.train, _units(plugin, config, samples))
    return Plan(parts, notes, work, where, link, own, tuple(ranked), steps, disk_of(recipe.train, work, steps))


def recalibrated(plan: Plan, calibration: Calibration) -> Plan:
    """Seconds by a probe of the recipe's setting. Other micro-batches of it follow the calibration; other stages and
    settings differ from them as their roofs do."""
    measured = (plan.own.setting.stage, plan.own.setting.checkpointing, plan.own.setting.offload)
    alike = {
        one.setting.micro_batch: one.seconds.total
        for one in plan.ranked
        if (one.setting.stage, one.setting.checkpointing, one.setting.offload) == measured
    }

    def corrected(one: Foreseen) -> Foreseen:
        micro = one.setting.micro_batch
        factor = calibration.seconds(plan.work.batch, micro) / alike[micro]
        return replace(one, seconds=one.seconds.times(factor))

    ranked = sorted((corrected(one) for one in plan.ranked), key=_order)
    return replace(plan, own=corrected(plan.own), ranked=tuple(ranked), calibration=calibration)


def _units(plugin: ModelPlugin, config: Any, samples: Sequence[Any]) -> int:
    """What an epoch draws, if no sample were kept for validation and test: only a length in epochs depends on it."""
    return len(units_of(samples, bool(hasattr(plugin, "by_image") and plugin.by_image(config))))


def _workload(
    recipe: Recipe, catalogue: Catalogue, world: int, samples: Sequence[Sample]
) -> tuple[dict[str, tuple[int, int]], tuple[str, ...], Workload]:
    from vesselbench.model import count_parts

    task = Task(targets_of(samples))
    micro, accumulated = accumulation(recipe.train, world)
    plugin, config = model_settings(recipe, catalogue)
    footprint = plugin.footprint(config, task) if hasattr(plugin, "footprint") else None
    if footprint is not None and footprint.costs is not None:
        costs, largest = footprint.costs, footprint.largest_layer
        parts, notes = dict(footprint.parts), footprint.notes
    else:
        from vesselbench.planning.counted import count_costs

        module, costs = count_costs(recipe, catalogue)
        parts = dict(footprint.parts) if footprint is not None else count_parts(module)
        notes = footprint.notes if footprint is not None else ()
        largest = max(parameter.numel() for parameter in module.parameters())
    total, trainable = (sum(part[index] for part in parts.values()) for index in (0, 1))
    train = recipe.train
    work = Workload(
        total,
        trainable,
        largest,
        costs,
        micro * accumulated,
        world,
        train.precision,
        moments=2 if train.optimizer == "adamw" else int(train.momentum > 0),
        averaged=train.ema > 0,
        loaded_bytes=loaded_bytes(samples, recipe.data.split, world),
    )
    return parts, notes, work


def loaded_bytes(samples: Sequence[Sample], split: SplitConfig, world: int) -> int:
    """Bytes of the decoded training samples that each rank keeps; 0 when they are too large for that. Their share of
    all samples is taken from the split's shares, as if all groups were of one size."""
    left = 1.0 - sum(part for part in (split.val, split.test) if isinstance(part, float))
    whole = decoded_bytes(samples) * left * split.subset
    return int(whole) if whole <= MEMORY / world else 0


def _own(recipe: Recipe, work: Workload, checkpointing: bool, room: float) -> Setting:
    """The recipe's setting; stage auto is what `lowest_stage` takes in this room."""
    train = recipe.train
    if train.zero_stage == "auto":
        stage = lowest_stage(work.total - work.trainable, work.trainable, work.world, work.precision, int(room))
    else:
        stage = int(train.zero_stage)
    moved = train.offload
    offload: Offload = "both" if moved.parameters != "none" else "none" if moved.optimizer == "none" else "optimizer"
    kept = checkpointing and work.costs.checkpointed_bytes is not None
    return Setting(max(stage, train.least_stage), accumulation(train, work.world)[0], kept, offload)


def _foresee(work: Workload, setting: Setting, device: Device, link: Interconnect, room: float) -> Foreseen:
    memory = memory_of(work, setting, device)
    host = host_bytes(work, setting, device, memory.total)
    return Foreseen(setting, memory, host, seconds_of(work, setting, device, link), memory.total <= room)


def _order(one: Foreseen) -> tuple[bool, float, int]:
    """Those that fit first, then by time; what takes as long to four digits, by memory."""
    return not one.fits, float(f"{one.seconds.total:.4g}"), one.memory.total
