"""A training as its run folder tells it: steps, validations, checkpoints. Reads a running or failed run as well."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselbench.errors import UserError
from vesselbench.recipes import read_yaml
from vesselbench.rundir import RunDir, read_json
from vesselbench.types import SET_NAMES

TOTAL = "loss"
TELEMETRY = ("_seconds", "_bytes", "_watts", "_joules", "_utilisation", "_per_second")
"""Ends of the names of what is measured about a step beside losses."""


@dataclass(frozen=True)
class Row:
    """One logged step. `step`: optimizer steps done; `logged`: the number that the log itself counts by."""

    step: float
    logged: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Validation:
    """Mean score of the primary metric (None: no image had a value) after `step` optimizer steps."""

    step: int
    score: float | None
    means: Mapping[str, float | None]
    threshold: float | None = None


@dataclass(frozen=True)
class Checkpoint:
    """`size` in bytes; `saved`: local time."""

    step: int
    size: int
    saved: float


@dataclass(frozen=True)
class Work:
    """How much a training was. None: the log does not say."""

    optimizer_steps: int | None
    samples: int | None
    micro_batches: int | None
    """Per process."""
    world: int | None
    micro_batch: int | None
    accumulation: int | None
    unit: str = "samples"
    training_set: int | None = None
    """Units of the training set."""
    planned_steps: int | None = None
    epochs: int | None = None
    """As the log's own program counts them; it may pass over the training set several times in one."""

    @property
    def batch(self) -> int | None:
        """Units per optimizer step, over all processes."""
        if not self.optimizer_steps or self.samples is None:
            return None
        return round(self.samples / self.optimizer_steps)

    @property
    def passes(self) -> float | None:
        """Times that the training set was seen."""
        return None if not self.training_set or self.samples is None else self.samples / self.training_set


@dataclass(frozen=True)
class History:
    """One training. `counted`: what the log counts by; `seconds`: of all logged steps, None where nothing was timed."""

    label: str
    source: str
    counted: str
    rows: tuple[Row, ...]
    validations: tuple[Validation, ...]
    checkpoints: tuple[Checkpoint, ...]
    work: Work
    seconds: float | None
    primary: str | None = None
    better: str = "higher"
    record: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    sets: Mapping[str, int] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """summary.json of each scored set."""
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        return str(self.record.get("status", "a log without a run"))

    def losses(self) -> list[str]:
        """Names of the losses: the total first, then its components in the order of the log."""
        names = dict.fromkeys(name for row in self.rows for name in row.values if is_loss(name))
        return sorted(names, key=lambda name: name != TOTAL)

    def course(self, name: str) -> list[tuple[float, float]]:
        """(optimizer step, value) of every row that has `name`."""
        return [(row.step, row.values[name]) for row in self.rows if name in row.values]

    def epoch_steps(self) -> float | None:
        """Optimizer steps of an epoch, as the log counts them, else of a pass over the training set."""
        work = self.work
        if work.epochs and work.optimizer_steps:
            return work.optimizer_steps / work.epochs
        if not work.training_set or not work.batch:
            return None
        return work.training_set / work.batch


def is_loss(name: str) -> bool:
    """Whether a value of the log is a loss, by its name."""
    return name == TOTAL or name.startswith(("loss_", "llm_")) or name.endswith("_loss")


def read_run(run: RunDir) -> History:
    """A run's history, whatever its status. UserError when it has nothing to train, holds no logged
    step yet, or a file is damaged.
    """
    record = run.record()
    if "tried" in record:
        raise UserError(
            f"{run.path} had nothing to train ({record.get('model')}): it has no steps to report on",
            f"what was tried stands in {run.record_file}; vesselbench compare sets it beside trained models",
        )
    rows, notes = _rows(run.train_log)
    if not rows:
        raise UserError(
            f"{run.path} has no logged step yet (status: {record.get('status')})",
            "wait for the first line of train.jsonl (train.log_every), or look at why it ended",
        )
    config = read_yaml(run.config)
    scores = _scores(run)
    primary = str((config.get("evaluation") or {}).get("primary") or "dice")
    lines, more = _lines(run.validation_log)
    validations = tuple(
        Validation(int(line["step"]), line["means"].get(primary), line["means"], line.get("threshold"))
        for line in _newest(lines)
    )
    split = run.split()
    last = rows[-1].step
    return History(
        label=run.path.name,
        source=str(run.path),
        counted="optimizer step",
        rows=rows,
        validations=validations,
        checkpoints=_checkpoints(run),
        work=_work(record, config, int(last), len(split.sets["train"])),
        seconds=_seconds(rows, record),
        primary=primary,
        better=next((str(line["better"]) for line in lines if "better" in line), "higher"),
        record=record,
        config=config,
        sets={name: len(ids) for name, ids in split.sets.items()},
        scores=scores,
        notes=(*notes, *more),
    )


def _work(record: Mapping[str, Any], config: Mapping[str, Any], done: int, training_set: int) -> Work:
    """What was done until the last logged step, by what the run recorded before it began."""
    told = record.get("accounting") or {}
    batch, world = int(record["batch_size"]), record.get("world")
    micro = told.get("micro_batch") or (config.get("train") or {}).get("micro_batch")
    if micro is None and world:
        micro = batch // int(world)
    accumulated = batch // (int(micro) * int(world)) if micro and world else None
    return Work(
        optimizer_steps=done,
        samples=done * batch,
        micro_batches=None if accumulated is None else done * accumulated,
        world=world,
        micro_batch=micro,
        accumulation=accumulated,
        unit=told.get("unit", "samples"),
        training_set=told.get("training_set", training_set),
        planned_steps=told.get("optimizer_steps") or record.get("steps"),
    )


def _rows(path: Path) -> tuple[tuple[Row, ...], list[str]]:
    lines, notes = _lines(path)
    rows = [
        Row(
            float(line["step"]),
            int(line["step"]),
            {name: float(value) for name, value in line.items() if name != "step" and _is_number(value)},
        )
        for line in _newest(lines)
    ]
    return tuple(rows), notes


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _lines(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The lines of a log. A last line that was cut off, by a kill while it was written, is left out and counted."""
    if not path.is_file():
        return [], []
    lines: list[dict[str, Any]] = []
    texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text)
            lines.append({**line, "step": int(line["step"])})
        except (json.JSONDecodeError, KeyError, TypeError, ValueError):
            if number < len(texts):
                raise UserError(f"{path} line {number} is no line of a training log", "the file was damaged") from None
            return lines, [f"The last line of {path.name} was cut off while it was written, and is left out."]
    return lines, []


def _newest(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line per step, the later one where a resumed training wrote a step again; in the order of steps."""
    by_step = {line["step"]: line for line in lines}
    return [by_step[step] for step in sorted(by_step)]


def _seconds(rows: Sequence[Row], record: Mapping[str, Any]) -> float | None:
    """Seconds of training: as recorded at its end, else those that the lines stand for."""
    if isinstance(record.get("train_seconds"), int | float):
        return float(record["train_seconds"])
    total, before = 0.0, 0.0
    for row in rows:
        if "seconds" not in row.values:
            return None
        total += row.values["seconds"] * (row.step - before)
        before = row.step
    return total


def _checkpoints(run: RunDir) -> tuple[Checkpoint, ...]:
    folders = sorted(run.checkpoints.glob("[0-9]*"), key=lambda path: int(path.name) if path.name.isdigit() else -1)
    found = []
    for folder in folders:
        files = [path for path in folder.rglob("*") if path.is_file()]
        if folder.name.isdigit() and files:
            times = max(path.stat().st_mtime for path in files)
            found.append(Checkpoint(int(folder.name), sum(path.stat().st_size for path in files), times))
    return tuple(found)


def _scores(run: RunDir) -> dict[str, dict[str, Any]]:
    """summary.json of every scored set."""
    paths = {name: run.evaluation(name) / "summary.json" for name in SET_NAMES}
    return {name: read_json(path) for name, path in paths.items() if path.is_file()}
