"""Which run a training goes on with, and whether what is asked for now still is that run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vesselbench.alive import status_of
from vesselbench.config import Recipe
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.recipes import load_recipe, merge, parse_override, read_yaml, validate_recipe
from vesselbench.reopen import differences, open_recipe
from vesselbench.rundir import RunDir, runs_of
from vesselbench.watch import Watch

HARMLESS = (
    "data.cache",
    "data.root",  # the data themselves are recognised by their fingerprint
    "evaluation.batch_size",
    "trackers",
    "train.device",
    "train.check_after",
    "train.keep",
    "train.keep_state",
    "train.log_every",
    "train.save_every",
    "train.timeout_minutes",
    "train.workers",
)
"""Keys that may change when a training goes on: none of its numbers follows from them."""
ROUNDING = ("train.deepspeed", "train.init", "train.micro_batch", "train.zero_stage")
"""Keys that may change too, but in another order of additions: losses agree to about 1e-5 then, not bit for bit."""
REDRAWN = "train.micro_batch"
"""One of these by which what the model draws at random (dropout, sampled points) falls to other samples."""


def find_unfinished(
    name: str, files: Sequence[str], overrides: Sequence[str], runs: Path, catalogue: Catalogue, watch: Watch
) -> tuple[Recipe, RunDir | None]:
    """The recipe to go on with and its run: `name` is a run's folder, or a recipe whose newest run is taken.

    The run is None when the recipe has none yet. Raises UserError for a run that has finished, and, by key, for
    settings that would make it another run; changes without effect on the numbers are said.
    """
    if (Path(name) / "run.json").is_file():
        run = RunDir.open(Path(name))
        values: dict[str, Any] = read_yaml(run.config)
        for text in overrides:
            values = merge(values, parse_override(text))
        if files:
            raise UserError("-c cannot change a run that goes on", "leave it out")
        recipe = validate_recipe(values, catalogue)
    else:
        recipe, _ = load_recipe(name, catalogue, files, overrides)
        found = next(runs_of(runs, recipe.name), None)
        if found is None:
            watch.line(f"no run of {recipe.name!r} below {runs} yet: starting one")
            return recipe, None
        run = found
    status = status_of(run, run.record())
    if status == "finished":
        raise UserError(f"{run.path} has finished: there is nothing to resume", f"vesselbench evaluate {run.path}")
    changed = differences(recipe, open_recipe(run, catalogue))
    _refuse_another_run(run, changed)
    watch.line(f"going on with {run.path} ({status})")
    for key, (now, then) in changed.items():
        effect = "losses agree to 1e-5 from here on" if _is_one_of(key, ROUNDING) else "no effect on the numbers"
        effect += ", but not where the model draws at random (dropout, sampled points)" if key == REDRAWN else ""
        watch.line(f"  {key} was {then!r}, is now {now!r}: {effect}")
    return recipe, run


def _refuse_another_run(run: RunDir, changed: Mapping[str, tuple[Any, Any]]) -> None:
    others = {key: both for key, both in changed.items() if not _is_one_of(key, HARMLESS + ROUNDING)}
    if others:
        shown = "; ".join(f"{key} was {then!r}, now {now!r}" for key, (now, then) in list(others.items())[:5])
        more = f"; {len(others) - 5} more" if len(others) > 5 else ""
        raise UserError(
            f"{run.path} cannot go on with other settings: {shown}{more}",
            f"vesselbench train {run.path} --resume, or leave --resume out for a new run",
        )


def _is_one_of(key: str, keys: Sequence[str]) -> bool:
    return any(key == known or key.startswith(f"{known}.") for known in keys)
