"""DeepSpeed for every model, at every ZeRO stage, on one process or many.

Beside sharding.py this is the only importer of deepspeed, and it imports it late: after the environment is set.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psutil
import torch
from pydantic import BaseModel

from vesselbench import distributed
from vesselbench.allocator import keep_freed_pages
from vesselbench.config import Recipe, TrainConfig
from vesselbench.data.cache import open_cache
from vesselbench.data.loader import accumulation, make_batch
from vesselbench.errors import UserError
from vesselbench.evaluation.predict import to_predictions
from vesselbench.hookspecs import ModelPlugin
from vesselbench.model import Step, batch_to
from vesselbench.plugins import Catalogue
from vesselbench.precision import Arithmetic, arithmetic_of, batch_norms, weight_type
from vesselbench.recipes import model_settings
from vesselbench.training.base import base_bits
from vesselbench.training.budget import Budget
from vesselbench.training.ema import MovingAverage
from vesselbench.training.feed import Feed
from vesselbench.training.initial import build_initial
from vesselbench.training.integrity import NonFiniteError
from vesselbench.training.leaves import mark_leaves
from vesselbench.training.offload import prepare_offload, remove_files
from vesselbench.training.optimizer import make_optimizer, param_groups
from vesselbench.training.optimizer_state import OptimizerState
from vesselbench.training.settings import deepspeed_settings
from vesselbench.training.shares import undo_first_step
from vesselbench.training.telemetry import StepClock
from vesselbench.types import Batch, Example, Prediction, Sample, Task

Collate = Callable[[list[Example]], dict[str, Any]]
DEPRECATED_BY_TORCH = r".*torch\.distributed\.(all_gather_into_tensor|reduce_scatter_tensor).*"


def choose_device(train: TrainConfig) -> torch.device:
    """The device of this process; UserError when CUDA is asked for and absent."""
    if train.device == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device is cuda, but no CUDA device is there", "set train.device=auto")
    if train.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def prepare_process(train: TrainConfig) -> torch.device:
    """Join the other processes and share the cores with them; on a processor keep freed pages for the next step. Call
    once, before `Engine.build`."""
    device = choose_device(train)
    if device.type == "cpu":
        keep_freed_pages()
    cores = len(psutil.Process().cpu_affinity() or [1]) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
    threads = int(os.environ.get("OMP_NUM_THREADS") or 0) or (cores or 1) // distributed.local_world()
    torch.set_num_threads(max(1, threads))
    distributed.connect(device, train.timeout_minutes)
    return device


def import_deepspeed(device: torch.device) -> Any:
    """deepspeed, quiet, joined to the open process group, and on CPU without compiling anything.

    On CPU DeepSpeed would build an operator for tensor-parallel inference at its first start (half a minute, and a
    lock that hangs every later start if that build is killed). No operator of its own is used here, so the list of
    those it may build is emptied. Its marks for NVIDIA's profiler, 2,000 calls per step of a small UNet, are left out
    there, too.
    """
    os.environ.setdefault("LOCAL_RANK", "0")
    if device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    warnings.filterwarnings("ignore", category=FutureWarning, message=DEPRECATED_BY_TORCH)
    import deepspeed
    import deepspeed.ops
    import deepspeed.utils.nvtx

    deepspeed.utils.logger.setLevel(logging.ERROR)
    if device.type == "cpu":
        deepspeed.ops.__dict__["__compatible_ops__"] = {}
        deepspeed.utils.nvtx.enable_nvtx = False
    backend = "nccl" if device.type == "cuda" else "gloo"
    deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)
    return deepspeed


@dataclass
class Engine:
    """One model in training. Every use of it passes DeepSpeed, so partitioned parameters are always whole in time."""

    engine: Any
    module: torch.nn.Module
    collate: Collate
    feed: Feed
    device: torch.device
    stage: int
    settings: dict[str, Any]
    base_weights: dict[str, str]
    arithmetic: Arithmetic
    budget: Budget
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None = None
    learning_rate: float = 0.0
    clock: StepClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = StepClock(self.device)

    @classmethod
    def build(
        cls, recipe: Recipe, task: Task, catalogue: Catalogue, device: torch.device, budget: Budget | None = None
    ) -> Engine:
        """Build the model of a recipe, equal on every rank, and hand it to DeepSpeed (`prepare_process` was called).

        `budget` is needed where the recipe does not state its length in steps.
        Raises UserError for BatchNorm on several processes (its statistics would be each rank's own), when no stage
        fits, when nothing is trainable, and when weights to train have a lower precision than train.precision.
        """
        train, (plugin, config) = recipe.train, model_settings(recipe, catalogue)
        budget = budget or Budget(train, train.total_steps)
        micro, accumulated = accumulation(train, distributed.world())
        deepspeed = import_deepspeed(device)
        prepare_offload(deepspeed, train)
        module, stage = build_initial(recipe, task, catalogue, device)
        _refuse_batch_norm(module)
        _refuse_lower_precision(module, train)
        step = Step(module)
        if stage == 3:
            mark_leaves(deepspeed, step, plugin)
        optimizer = make_optimizer(_groups(plugin, module, train), train)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, budget.factor)
        torch.manual_seed(train.seed + distributed.rank())  # dropout and sampled points differ between ranks
        arithmetic = arithmetic_of(module, train.precision)
        settings = deepspeed_settings(train, stage, micro, accumulated, device, arithmetic)
        engine, *_ = deepspeed.initialize(
            model=step, optimizer=optimizer, lr_scheduler=schedule, config=settings, dist_init_required=False
        )
        undo_first_step(engine)
        if stage == 0 and distributed.world() == 1:
            engine.enable_backward_allreduce = False  # it would pack, send and unpack all gradients, to nobody
        base = distributed.on_first(partial(_digests, plugin, config))
        collate = plugin.collator(config, task)
        feed = Feed.of(plugin, config, task, train, open_cache(recipe.data))
        average = MovingAverage(engine, module, train.ema) if train.ema else None
        return cls(engine, module, collate, feed, device, stage, settings, base, arithmetic, budget, optimizer, average)

    def averaged(self) -> AbstractContextManager[None]:
        """Context in which the model has the weights that are validated and saved: with ``train.ema`` their average."""
        return nullcontext() if self.average is None else self.average.shown()

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights and inputs."""
        return weight_type(self.arithmetic)

    def train_batches(
        self, samples: Sequence[Sample], start: int = 0
    ) -> Generator[tuple[int, list[Batch]], None, None]:
        """See `data.loader.train_batches`: those of this rank, of the steps after `start`."""
        return self.feed.batches(samples, distributed.rank(), distributed.world(), start, self.budget.most_steps)

    def optimizer_state(self) -> OptimizerState:
        """Optimizer, schedule and DeepSpeed's counters, to be saved and restored."""
        return OptimizerState(self.engine, self.module)

    def base(self) -> dict[str, Any]:
        """What the frozen weights are: SHA-256 per file, and of their bits as built. Every rank must call it."""
        return {"files": self.base_weights, "bits": base_bits(self.module)}

    def train_step(
        self, micro_batches: Sequence[Batch], before_step: Callable[[], None] | None = None
    ) -> dict[str, torch.Tensor]:
        """One optimizer step over this rank's micro-batches; returns the mean of each loss, detached.

        `before_step` is called when all gradients are there and the weights are not changed yet.
        Raises UserError on every rank when any rank's loss is not finite, before the weights are touched.
        """
        self.engine.train()
        group = self.optimizer.param_groups[0]  # read now: after the step it has the next one's rate
        self.learning_rate = self.budget.train.lr * group["lr"] / group["initial_lr"]
        sums: dict[str, torch.Tensor] = {}
        for number, batch in enumerate(micro_batches, 1):
            losses = self.engine("loss", batch_to(batch, self.device, self.dtype))
            self.clock.lap("forward")
            _refuse_non_finite(losses["loss"], batch.ids)
            self.clock.lap("optimizer")
            self.engine.backward(losses["loss"])
            self.clock.lap("backward")
            if before_step is not None and number == len(micro_batches):
                before_step()
            self.engine.step()
            self.clock.lap("optimizer")
            for name, value in losses.items():
                sums[name] = sums.get(name, torch.zeros(())) + value.detach().float().cpu()
        if self.average is not None:
            self.average.update()
            self.clock.lap("optimizer")
        return {name: value / len(micro_batches) for name, value in sums.items()}

    @torch.no_grad()
    def predict(self, examples: list[Example]) -> list[Prediction]:
        """Probabilities of some examples, through the engine. Every rank must make equally many calls."""
        self.engine.eval()
        batch = make_batch(examples, self.collate)
        return to_predictions(batch, self.engine("predict", batch_to(batch, self.device, self.dtype)))

    def meters(self) -> dict[str, float]:
        """Learning rate and, where DeepSpeed gives it, gradient norm before clipping of the newest step."""
        values = {"lr": self.learning_rate}
        norm = self.engine.get_global_grad_norm()
        return values if norm is None else {**values, "grad_norm": float(norm)}

    def local_parameter_bytes(self) -> int:
        """Bytes of parameters that this rank really holds: its shard at stage 3, everything below."""
        total = 0
        for parameter in self.module.parameters():
            total += parameter.numel() * parameter.element_size()  # 0 elements while it is partitioned
            shard = getattr(parameter, "ds_tensor", None)
            total += 0 if shard is None else shard.numel() * shard.element_size()
        return total

    def close(self) -> None:
        """Free what DeepSpeed holds; the process group stays open."""
        self.engine.destroy()
        remove_files(self.budget.train)


def _refuse_non_finite(loss: torch.Tensor, ids: list[str]) -> None:
    """UserError on every rank, with the samples of all ranks whose loss is not finite."""
    bad = not bool(torch.isfinite(loss))
    if distributed.agree(bad):
        mine = [{"rank": distributed.rank(), "samples": ids, "loss": str(float(loss.detach()))}] if bad else []
        batches = distributed.gather_rows(mine)
        samples = [name for batch in batches for name in batch["samples"]]  # type: ignore[attr-defined]
        raise NonFiniteError(
            f"the loss is not finite at samples {', '.join(samples)}",
            "lower train.lr or set train.clip; nothing was saved after the last checkpoint",
            {"batches": batches},
        )


def _digests(plugin: ModelPlugin, config: BaseModel) -> dict[str, str]:
    """SHA-256 of each file of the base weights, by path. Rank 0 alone reads them all again."""
    digests: dict[str, str] = plugin.base_weights(config) if hasattr(plugin, "base_weights") else {}
    return digests


def _refuse_batch_norm(module: torch.nn.Module) -> None:
    names = batch_norms(module)
    if names and distributed.world() > 1:
        raise UserError(
            f"batch normalisation in {names[0]} and {len(names) - 1} more: each process would have its own statistics",
            "use instance or group normalisation, or one process",
        )


def _refuse_lower_precision(module: torch.nn.Module, train: TrainConfig) -> None:
    """UserError when weights to train are held in less than float32, but fp32 or autocast is asked for."""
    held = {parameter.dtype for parameter in module.parameters() if parameter.requires_grad}
    lower = sorted(str(dtype).removeprefix("torch.") for dtype in held if dtype.itemsize < 4)
    if train.precision != "bf16" and lower:
        raise UserError(
            f"the model holds its weights in {lower[0]}, train.precision is {train.precision}",
            "set train.precision=bf16, or model.dtype=float32",
        )


def _groups(plugin: ModelPlugin, module: torch.nn.Module, train: TrainConfig) -> list[dict[str, Any]]:
    if hasattr(plugin, "param_groups"):
        groups: list[dict[str, Any]] = plugin.param_groups(module, train.lr)
        if train.lr_scale:
            raise UserError(
                f"train.lr_scale: the model {plugin.name!r} sets its learning rates itself", "leave train.lr_scale out"
            )
        return groups
    return param_groups(module, train, getattr(plugin, "part_of", None))
