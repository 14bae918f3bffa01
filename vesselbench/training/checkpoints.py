"""The checkpoints of a training: which are kept, which is best, and going on from the newest sound one."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any, Protocol

import torch

from vesselbench import distributed
from vesselbench.config import Recipe
from vesselbench.manifest import WEIGHTS, drop_state, is_state, read_manifest, saved_steps
from vesselbench.model import load_trained
from vesselbench.plugins import Catalogue
from vesselbench.rundir import RunDir
from vesselbench.training.base import check_base_bits
from vesselbench.training.progress import Progress
from vesselbench.training.saving import clear_drafts, newest_sound, save_checkpoint
from vesselbench.training.state import States
from vesselbench.types import Scores


def prune_checkpoints(run: RunDir, keep: int, protected: set[int | None]) -> list[int]:
    """Remove all but the newest `keep` checkpoints and the `protected` steps (rank 0); returns the removed steps."""
    if distributed.rank() != 0:
        return []
    removed = [step for step in saved_steps(run)[:-keep] if step not in protected]
    for step in removed:
        shutil.rmtree(run.checkpoints / str(step))
    return removed


def _drop_states(run: RunDir, newest: int) -> None:
    for step in saved_steps(run):
        if step != newest:
            drop_state(run.checkpoints / str(step))


class Trained(Protocol):
    """What a checkpoint needs of an `Engine`."""

    module: torch.nn.Module

    def base(self) -> dict[str, Any]: ...


class Checkpoints:
    """The checkpoints of one run, and which had the best primary metric on the validation set."""

    def __init__(
        self,
        run: RunDir,
        recipe: Recipe,
        catalogue: Catalogue,
        engine: Trained,
        states: States,
        progress: Progress,
    ) -> None:
        self._run, self._keep, self._module = run, recipe.train.keep, engine.module
        self._states, self.progress, self._base = states, progress, engine.base()
        self._metric = recipe.train.keep_best or recipe.evaluation.primary
        self._newest_only = recipe.train.keep_state == "newest"
        self._sign = 1 if catalogue.metrics[self._metric].better == "higher" else -1
        self._scored: dict[str, Any] = {}

    def offer_best(self, step: int, scores: Scores) -> str:
        """Save step `step`; it is the best one when its score is. Returns what happened, in words."""
        progress, score = self.progress, scores.mean(self._metric)
        best = progress.best_score
        better = score is not None and (best is None or self._sign * score > self._sign * best)
        if better:
            progress.best_score, progress.best_step = score, step
        progress.validated_step = step
        progress.validations += 1
        progress.waited = 0 if better else progress.waited + 1
        self._scored = {"metric": self._metric, "score": score}
        saved = self.save(step)
        shown = "none" if score is None else f"{score:.4f}"
        at = f"at threshold {scores.threshold:.2f}"
        best_now = " (best so far)" if better else ""
        return f"step {step}: validation {self._metric} {shown} {at}{best_now}; {saved}"

    def note_first(self, scores: Scores) -> str:
        """Record what the weights score that training starts from; returns it in words."""
        score = scores.mean(self._metric)
        self.record({"first_score": score})
        return f"step 0: validation {self._metric} {'none' if score is None else f'{score:.4f}'} before training"

    def save(self, step: int) -> str:
        """Save step `step`, remove what the rule no longer keeps; returns size and time, in words."""
        facts = {"base": self._base, **self._scored}
        self._scored = {}
        folder = save_checkpoint(self._run, step, self._module, self._states, facts)
        self.record({"last_step": step})
        prune_checkpoints(self._run, self._keep, {self.progress.best_step, step})
        if self._newest_only:
            distributed.on_first(partial(_drop_states, self._run, step))
        manifest = distributed.on_first(partial(read_manifest, folder))
        held = sum(entry["bytes"] for name, entry in manifest["files"].items() if is_state(name))
        size = f"{manifest['bytes']:,} bytes, {held:,} of them for a resume"
        return f"checkpoint {step} saved in {manifest['seconds']:.2f} s: {size}"

    def resume(self) -> tuple[int, list[str]]:
        """Restore everything from the newest sound checkpoint; returns its step (0: there is none) and what to say.

        Raises UserError when the frozen weights are not those that the checkpoint was trained on.
        """
        drafts = distributed.on_first(partial(clear_drafts, self._run))
        step, said = distributed.on_first(partial(newest_sound, self._run))
        said = [f"{name} was being written when the run ended: removed" for name in drafts] + said
        if step is None:
            return 0, [*said, "no checkpoint to go on from: starting at step 0"]
        folder = self._run.checkpoints / str(step)
        manifest = read_manifest(folder)
        check_base_bits(folder, manifest, self._base)
        load_trained(self._module, folder / WEIGHTS)
        said += self._states.restore(folder)
        if manifest["world"] != distributed.world():
            said.append(
                f"saved by {manifest['world']} processes, going on with {distributed.world()}: losses agree to 1e-5, "
                "but not where the model draws at random (dropout, sampled points): each process draws its own"
            )
        self.record({"last_step": step})
        return step, [*said, f"resumed at step {step}"]

    def record(self, values: dict[str, Any]) -> None:
        """Set keys of run.json, the best step among them (rank 0)."""
        best = {
            "best_metric": self._metric,
            "best_step": self.progress.best_step,
            "best_score": self.progress.best_score,
        }
        distributed.on_first(partial(self._run.update, **values, **best))
