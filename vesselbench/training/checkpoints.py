"""Checkpoints: one new folder each, whole under its final name; the best is kept, the old ones pruned by rule."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vesselbench import distributed
from vesselbench.config import Recipe
from vesselbench.errors import UserError
from vesselbench.model import save_trained
from vesselbench.plugins import Catalogue
from vesselbench.rundir import RunDir, file_sha256, write_json
from vesselbench.types import Scores


def save_checkpoint(run: RunDir, step: int, module: torch.nn.Module) -> Path:
    """Write ``checkpoints/<step>/{weights.safetensors, meta.json}``; every rank must call it, rank 0 writes.

    The folder is filled under a temporary name and renamed. A step that is saved already is left as it is.
    """
    final = run.checkpoints / str(step)
    if distributed.from_first(final.exists()):
        return final
    temporary = run.checkpoints / f".{step}.tmp"
    weights = temporary / "weights.safetensors"
    save_trained(module, weights)
    distributed.on_first(partial(_complete, temporary, final, step))
    return final


def _complete(temporary: Path, final: Path, step: int) -> None:
    weights = temporary / "weights.safetensors"
    size = weights.stat().st_size
    write_json(temporary / "meta.json", {"step": step, "bytes": size, "sha256": file_sha256(weights)})
    _rename(temporary, final)


def prune_checkpoints(run: RunDir, keep: int, protected: set[int | None]) -> list[int]:
    """Remove all but the newest `keep` checkpoints and the `protected` steps (rank 0); returns the removed steps."""
    if distributed.rank() != 0:
        return []
    steps = sorted(int(path.name) for path in run.checkpoints.iterdir() if path.name.isdigit())
    removed = [step for step in steps[:-keep] if step not in protected]
    for step in removed:
        shutil.rmtree(run.checkpoints / str(step))
    return removed


class Checkpoints:
    """The checkpoints of one run, and which had the best primary metric on the validation set."""

    def __init__(self, run: RunDir, recipe: Recipe, catalogue: Catalogue, module: torch.nn.Module) -> None:
        self._run, self._keep, self._module = run, recipe.train.keep, module
        self._metric = recipe.evaluation.primary
        self._sign = 1 if catalogue.metrics[self._metric].better == "higher" else -1
        self.best_score: float | None = None
        self.best_step: int | None = None

    def offer_best(self, step: int, scores: Scores) -> str:
        """Save step `step`; it is the best one when its score is. Returns what happened, in words."""
        score = scores.mean(self._metric)
        better = score is not None and (self.best_score is None or self._sign * score > self._sign * self.best_score)
        if better:
            self.best_score, self.best_step = score, step
        self.save(step)
        shown = "none" if score is None else f"{score:.4f}"
        at = f"at threshold {scores.threshold:.2f}"
        return f"step {step}: validation {self._metric} {shown} {at}{' (best so far)' if better else ''}"

    def save(self, step: int) -> None:
        """Save step `step` and remove what the rule no longer keeps."""
        save_checkpoint(self._run, step, self._module)
        self.record({"last_step": step})
        prune_checkpoints(self._run, self._keep, {self.best_step, step})

    def record(self, values: dict[str, Any]) -> None:
        """Set keys of run.json, the best step among them (rank 0)."""
        best = {"best_step": self.best_step, "best_score": self.best_score}
        distributed.on_first(partial(self._run.update, **values, **best))


def _rename(temporary: Path, final: Path) -> None:
    try:
        os.replace(temporary, final)
    except OSError as error:
        raise UserError(f"cannot write {final}: {error.strerror}", "free space or choose another folder") from error
