"""What lies below a folder of runs, what became of each, and what of it can go (no torch)."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vesselbench.alive import status_of
from vesselbench.errors import UserError
from vesselbench.manifest import STATE_VALUES, drop_state, is_state, saved_steps, state_bytes
from vesselbench.rundir import RunDir, runs_of

DAY = 86_400.0


@dataclass(frozen=True)
class Listed:
    """One run. `steps_done` are those of train.jsonl, `steps` those it is to have (None: another measure ends it)."""

    run: Path
    status: str
    started: str | None
    steps_done: int
    steps: int | None
    metric: str | None
    best_score: float | None
    best_step: int | None
    bytes: int
    state_bytes: int
    resumable: bool
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "run": str(self.run)}


@dataclass(frozen=True)
class Removal:
    """Something that a rule lets go. `remove` does it."""

    run: Path
    what: str
    bytes: int
    remove: Callable[[], object]


@dataclass(frozen=True)
class Rules:
    """What may go. No rule touches a run whose process is there."""

    state: bool = False
    """Optimizer state of finished runs: they cannot be trained on, all else stays."""
    checkpoints: bool = False
    """Checkpoints of finished runs, all but the best one (the last, where none was best)."""
    damaged: bool = False
    """Checkpoints that a resume has set aside as damaged, and drafts of a killed save."""
    failed_days: float | None = None
    """Whole runs that failed or were interrupted, and have not changed for so many days."""


def list_runs(root: Path) -> list[Listed]:
    """The runs below `root`, newest first. A damaged run is listed with a note."""
    return [_listed(run) for run in runs_of(root)]


def _listed(run: RunDir) -> Listed:
    size, held = disk_use(run.path), sum(state_bytes(run.checkpoints / str(step)) for step in saved_steps(run))
    try:
        record = run.record()
    except UserError as error:
        return Listed(run.path, "damaged", None, 0, None, None, None, None, size, held, False, error.message)
    status = status_of(run, record)
    sound = any((run.checkpoints / str(step) / STATE_VALUES).is_file() for step in saved_steps(run))
    return Listed(
        run=run.path,
        status=status,
        started=record.get("started"),
        steps_done=_last_logged(run.train_log),
        steps=record.get("steps"),
        metric=record.get("best_metric"),
        best_score=record.get("best_score"),
        best_step=record.get("best_step"),
        bytes=size,
        state_bytes=held,
        resumable=status in ("failed", "interrupted"),
        note=str(record.get("reason") or "") if status == "failed" else _resume_note(status, sound),
    )


def _resume_note(status: str, sound: bool) -> str:
    return "" if status != "interrupted" or sound else "from step 0"


def _last_logged(log: Path) -> int:
    """The newest whole line's step; 0 without one."""
    if not log.is_file():
        return 0
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 65_536))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):
            continue
    return 0


def disk_use(folder: Path) -> int:
    """Bytes of all files below a folder; links are not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


def removals(root: Path, rules: Rules) -> tuple[list[Removal], list[str]]:
    """What the rules let go below `root`, and which runs were left alone, in words."""
    found: list[Removal] = []
    left: list[str] = []
    for run in runs_of(root):
        if run.path.is_symlink():
            left.append(f"{run.path} is a link: left alone")
            continue
        try:
            record = run.record()
        except UserError as error:
            left.append(f"{error.message}: left alone")
            continue
        status = status_of(run, record)
        if status == "running":
            left.append(f"{run.path} is running: left alone")
            continue
        found += _of_run(run, record, status, rules)
    return found, left


def _of_run(run: RunDir, record: dict[str, Any], status: str, rules: Rules) -> Iterator[Removal]:
    if rules.failed_days is not None and status in ("failed", "interrupted"):
        age = (time.time() - _last_change(run)) / DAY
        if age >= rules.failed_days:
            yield Removal(
                run.path, f"the whole run ({status}, {age:.0f} days ago)", disk_use(run.path), _tree(run.path)
            )
            return
    kept = record.get("best_step") or record.get("last_step")
    for step in saved_steps(run) if status == "finished" else []:
        folder = run.checkpoints / str(step)
        if rules.checkpoints and kept is not None and step != kept and str(kept).isdigit():
            yield Removal(run.path, f"checkpoint {step}", disk_use(folder), _tree(folder))
        elif rules.state and any(is_state(path.name) for path in folder.iterdir()):
            yield Removal(run.path, f"optimizer state of checkpoint {step}", state_bytes(folder), _state(folder))
    if rules.damaged and run.checkpoints.is_dir():
        for folder in sorted(run.checkpoints.iterdir()):
            if ".damaged" in folder.name or (folder.name.startswith(".") and folder.name.endswith(".tmp")):
                yield Removal(run.path, folder.name, disk_use(folder), _tree(folder))


def _last_change(run: RunDir) -> float:
    return max(path.lstat().st_mtime for path in (run.record_file, run.train_log) if path.is_file())


def _tree(folder: Path) -> Callable[[], object]:
    return lambda: shutil.rmtree(folder)


def _state(folder: Path) -> Callable[[], object]:
    return lambda: drop_state(folder)
