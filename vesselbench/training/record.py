"""What a run writes down about itself: its record, what it is going to do, a line per logged step."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vesselbench import distributed
from vesselbench.alive import this_process
from vesselbench.config import Recipe
from vesselbench.data.dataset import Dataset
from vesselbench.declared import declare, declared_record
from vesselbench.errors import UserError
from vesselbench.evaluation.evaluate import Evaluation
from vesselbench.jobs import RUN_FILE, StoppedError
from vesselbench.model import count_parts
from vesselbench.plugins import Catalogue
from vesselbench.precision import arithmetic_lines
from vesselbench.provenance import command_line, source_revision, versions
from vesselbench.recipes import dump_recipe
from vesselbench.rundir import RunDir, write_json, write_text
from vesselbench.training.accounting import account
from vesselbench.training.budget import Budget
from vesselbench.training.engine import Engine
from vesselbench.training.gauges import Gauges, peak_memory_bytes
from vesselbench.training.integrity import NonFiniteError
from vesselbench.training.offload import offload_lines
from vesselbench.training.optimizer import optimizer_lines
from vesselbench.training.telemetry import StepClock, combine
from vesselbench.training.trackers import Trackers
from vesselbench.watch import Watch

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"


def open_run(
    recipe: Recipe, budget: Budget, dataset: Dataset, catalogue: Catalogue, runs: Path, plan: str | None = None
) -> RunDir:
    """A new run folder, made by rank 0 and known to all. `plan`: what self-configuration chose."""
    return RunDir(Path(distributed.on_first(partial(_make_run, recipe, budget, dataset, catalogue, runs, plan))))


def _make_run(
    recipe: Recipe, budget: Budget, dataset: Dataset, catalogue: Catalogue, runs: Path, plan: str | None
) -> str:
    run = RunDir.new(runs, recipe.name)
    write_text(run.config, dump_recipe(recipe))
    if plan is not None:
        write_text(run.plan_file, plan)
    run.write_split(dataset.split)
    run.update(
        status="running",
        process=this_process(),
        recipe=recipe.name,
        model=recipe.model["name"],
        command=command_line(),
        started=time.strftime(TIME_FORMAT),
        git=source_revision(),
        versions=versions(),
        plugins=[f"{plugin.name} ({plugin.distribution} {plugin.version})" for plugin in catalogue.plugins],
        seed=recipe.train.seed,
        steps=budget.steps,
        budget=budget.words(),
        batch_size=recipe.train.batch_size,
        precision=recipe.train.precision,
        task={"targets": list(dataset.task.targets), "channels": dataset.task.channels},
        prompts=dataset.prompts(),
        split_fingerprint=dataset.split.fingerprint,
        leaks=dataset.leak_lines(),
        declared=declared_record(declare(recipe, dataset.samples)),
    )
    if RUN_FILE in os.environ:
        write_text(Path(os.environ[RUN_FILE]), str(run.path))
    return str(run.path)


def describe(
    engine: Engine, recipe: Recipe, budget: Budget, dataset: Dataset, catalogue: Catalogue, run: RunDir, watch: Watch
) -> None:
    """Say, and record, what is going to be done (see `Accounting`), by which optimizer and with which arithmetic."""
    plugin, train = catalogue.models[recipe.model["name"]], recipe.train
    parts = count_parts(engine.module, *([plugin.part_of] if hasattr(plugin, "part_of") else []))
    counted = account(
        train,
        budget.words(),
        budget.steps,
        {name: dataset.of(name) for name in dataset.split.sets},
        engine.module,
        parts,
        stage=engine.stage,
        world=distributed.world(),
        by_image=engine.feed.by_image,
        lowered=engine.dtype == torch.bfloat16,
        folder=run.path,
    )
    watch.line(f"run {run.path}")
    watch.table("Before the first step", counted.rows())
    for text in optimizer_lines(engine.optimizer, train, budget.words()):
        watch.line(text)
    held = distributed.gather_rows([engine.local_parameter_bytes()])
    watch.line(f"ZeRO stage {engine.stage} on {engine.device}; bytes of parameters per rank: {held}")
    for text in [*arithmetic_lines(train.precision, engine.arithmetic), *offload_lines(train, engine.device)]:
        watch.line(text)
    total, trainable = counted.parameters
    facts = {
        "zero_stage": engine.stage,
        "world": distributed.world(),
        "device": str(engine.device),
        "precision": engine.arithmetic,
        "optimizer": recipe.train.optimizer,
        "saved_weights": f"moving average, decay {train.ema:g}" if train.ema else "of the step",
        "accounting": counted.as_json(),
        "parameters": {"total": total, "trainable": trainable, "parts": parts},
        "parameter_bytes_per_rank": held,
        "base_weights": engine.base_weights,
        "weights": "files" if engine.base_weights else "random",
    }
    distributed.on_first(partial(write_json, run.path / "deepspeed.json", engine.settings))
    distributed.on_first(partial(run.update, **facts))


def tell_forecast(run: RunDir, told: tuple[float, str] | None, watch: Watch) -> None:
    """Say, and record, how long it is going to take; None: not now."""
    if told is None:
        return
    seconds, words = told
    watch.line(words)
    distributed.on_first(partial(run.update, forecast={"seconds": seconds, "how": words}))


def glance(engine: Engine, losses: Mapping[str, torch.Tensor], batch_size: int) -> dict[str, float]:
    """What is shown of every step on a terminal, without a word to the other ranks: rank 0's own values."""
    return {
        "loss": float(losses["loss"]),
        "lr": engine.learning_rate,
        "samples_per_second": engine.clock.speed(batch_size),
        "peak_memory_bytes": peak_memory_bytes(engine.device),
    }


def measured(engine: Engine, gauges: Gauges, batch_size: int) -> dict[str, float]:
    """Time by phase (mean per step since the last call), speed, memory and energy, over all ranks."""
    values = combine(distributed.gather_rows([{**engine.clock.take(), **gauges.read()}]))
    return {**values, "samples_per_second": batch_size / values["seconds"]}


def machine_facts(gauges: Gauges, device: torch.device) -> dict[str, Any]:
    """`peak_memory_bytes` of the fullest rank and `energy` in joules where it could be read, for run.json."""
    row: dict[str, float | None] = {"peak_memory_bytes": peak_memory_bytes(device), **gauges.energy()}
    values = combine(distributed.gather_rows([row]))
    peak = int(values.pop("peak_memory_bytes"))
    return {"peak_memory_bytes": peak, "energy": values or None}


def log_step(run: RunDir, step: int, values: dict[str, float], telemetry: dict[str, float], trackers: Trackers) -> None:
    """One line of train.jsonl and of every tracker; rank 0 only."""
    values = values | telemetry
    distributed.on_first(partial(run.log_step, {"step": step, **values}))
    trackers.log(step, values)


def log_validation(run: RunDir, step: int, result: Evaluation, clock: StepClock, trackers: Trackers) -> None:
    """One line of validations.jsonl and of every tracker: the mean of every metric after so many steps and seconds of
    training, without a name of any sample; rank 0."""
    scores, summary = result.scores, result.summary
    means = {metric: scores.mean(metric) for metric in scores.metric_versions}
    line = {"step": step, "train_seconds": clock.total, "threshold": scores.threshold, "means": means}
    primary = summary["primary"]
    more = {
        "primary": primary,
        "better": summary["metrics"][primary]["better"],
        "images": len(scores.rows),
        "seconds": summary["seconds"],
    }
    distributed.on_first(partial(run.log_validation, {**line, **more}))
    trackers.log(step, {f"val/{name}": mean for name, mean in means.items() if mean is not None})


@contextmanager
def failures_recorded(run: RunDir) -> Iterator[None]:
    """Note a failure in run.json before it goes on."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, NonFiniteError) and distributed.rank() == 0:
            with suppress(UserError):  # the error itself names them too
                write_json(run.path / "nonfinite.json", error.record)
        if isinstance(error, StoppedError):
            error.hint = f"vesselbench train {run.path} --resume"
        status = "interrupted" if isinstance(error, StoppedError | KeyboardInterrupt) else "failed"
        if distributed.rank() == 0:
            with suppress(UserError):  # on a full disk the record stays "running", of a process that is gone
                run.update(status=status, reason=f"{type(error).__name__}: {error}"[:500])
        raise
