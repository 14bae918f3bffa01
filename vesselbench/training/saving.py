"""One checkpoint folder: filled under a temporary name, sealed by a manifest, renamed; and held against it later."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vesselbench import distributed
from vesselbench.errors import UserError
from vesselbench.manifest import MANIFEST, NO_STATE, WEIGHTS, fault_of, saved_steps
from vesselbench.model import save_trained
from vesselbench.rundir import RunDir, file_sha256, sync_folder, write_json
from vesselbench.training.state import States

DRAFT = ".tmp"
ASIDE = ".damaged"
STATELESS = ".without-state"
"""Weights that are sound, of a step that comes again."""


def save_checkpoint(
    run: RunDir, step: int, module: torch.nn.Module, states: States | None, facts: Mapping[str, Any] | None = None
) -> Path:
    """Write ``checkpoints/<step>/``: weights, state and, last, the manifest; every rank must call it, rank 0 writes.

    The folder is filled under a temporary name, synced and renamed. A step that is saved already is left as it is.
    After an error nothing of it stays on the disk. `facts` are added to the manifest. Raises UserError on every rank.
    """
    final = run.checkpoints / str(step)
    if distributed.from_first(final.exists()):
        return final
    draft = run.checkpoints / f".{step}{DRAFT}"
    started = time.perf_counter()
    try:
        distributed.on_first(partial(_empty, draft))
        save_trained(module, draft / WEIGHTS)
        if states is not None:
            states.save(draft)
        head = {"step": step, "world": distributed.world(), **(facts or {})}
        distributed.on_first(partial(_seal, run, draft, final, head, started))
    except UserError:
        if distributed.rank() == 0:
            shutil.rmtree(draft, ignore_errors=True)  # half a checkpoint would only fill the disk further
        raise
    return final


def _empty(draft: Path) -> None:
    if draft.exists():  # of a process that was killed while it saved
        shutil.rmtree(draft)
    try:
        draft.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot make {draft}: {error.strerror}", "free space or choose another folder") from error


def _seal(run: RunDir, draft: Path, final: Path, head: dict[str, Any], started: float) -> None:
    if run.train_log.is_file():  # what the state says was logged must not be lost to a power failure
        with open(run.train_log, "rb") as log:
            os.fsync(log.fileno())
    files = {path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in sorted(draft.iterdir())}
    total = sum(path.stat().st_size for path in draft.iterdir())
    facts = {"bytes": total, "seconds": round(time.perf_counter() - started, 3), "files": files}
    write_json(draft / MANIFEST, {**head, **facts})
    sync_folder(draft)
    try:
        os.replace(draft, final)
    except OSError as error:
        raise UserError(f"cannot write {final}: {error.strerror}", "free space or choose another folder") from error
    sync_folder(final.parent)


def newest_sound(run: RunDir) -> tuple[int | None, list[str]]:
    """The newest step that can be resumed from, and why each newer one cannot. These are set aside, not removed."""
    said: list[str] = []
    for step in reversed(saved_steps(run)):
        fault = fault_of(run.checkpoints / str(step))
        if fault is None:
            return step, said
        aside = _set_aside(run.checkpoints / str(step), ASIDE if fault != NO_STATE else STATELESS)
        said.append(f"checkpoint {step} is passed over: {fault} (kept as {aside.name})")
    return None, said


def clear_drafts(run: RunDir) -> list[str]:
    """Remove what a killed process left half written; returns the names."""
    drafts = sorted(run.checkpoints.glob(f".*{DRAFT}")) if run.checkpoints.is_dir() else []
    for draft in drafts:
        shutil.rmtree(draft)
    return [draft.name for draft in drafts]


def _set_aside(folder: Path, ending: str) -> Path:
    number = 0
    aside = folder.with_name(f"{folder.name}{ending}")
    while aside.exists():
        number += 1
        aside = folder.with_name(f"{folder.name}{ending}.{number}")
    folder.rename(aside)
    return aside
