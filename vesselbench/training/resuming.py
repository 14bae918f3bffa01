"""Going on with a run that did not finish, in its own folder."""

from __future__ import annotations

import json
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vesselbench import distributed
from vesselbench.alive import claim
from vesselbench.config import Recipe
from vesselbench.configuring import configured, nested
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.plugins import Catalogue
from vesselbench.recipes import merge, validate_recipe
from vesselbench.reopen import check_base, open_dataset, open_recipe
from vesselbench.rundir import RunDir, write_bytes
from vesselbench.training.checkpoints import Checkpoints
from vesselbench.training.record import TIME_FORMAT
from vesselbench.watch import Watch


def dataset_of(recipe: Recipe, catalogue: Catalogue, resumed: RunDir | None) -> Dataset:
    """The data of a recipe; UserError when a run that goes on was trained on others, or on other base weights."""
    if resumed is None:
        return load_dataset(recipe.data, catalogue)
    if "base_weights" in resumed.record():  # else it ended before they were read
        check_base(resumed, recipe, catalogue)
    return open_dataset(resumed, recipe, catalogue)


def recipe_for(
    recipe: Recipe, dataset: Dataset, catalogue: Catalogue, device: torch.device, resumed: RunDir | None
) -> tuple[Recipe, str | None]:
    """What is trained, and the plan (see `configured`); a run that goes on keeps what its rules chose."""
    if resumed is None or not recipe.configure:
        return configured(recipe, dataset, catalogue, device)
    then = open_recipe(resumed, catalogue).model_dump(mode="json")
    values = {**recipe.model_dump(mode="json"), "configured": then["configured"]}
    for key in recipe.configure:
        value: Any = then
        for name in key.split("."):
            value = value[name]
        values = merge(values, nested(key, value))
    return validate_recipe({**values, "configure": []}, catalogue), None


def reopen_run(run: RunDir) -> RunDir:
    """The run, now this process's; UserError when another process works on it."""
    distributed.on_first(partial(claim, run))
    return run


def go_on(run: RunDir, checkpoints: Checkpoints, watch: Watch) -> None:
    """Restore the newest sound checkpoint and make train.jsonl end where it does; says and records what happened."""
    step, said = checkpoints.resume()
    validated = checkpoints.progress.validated_step if step else -1  # also that of the untrained weights comes again
    cut = distributed.on_first(lambda: cut_log(run.train_log, step) + cut_log(run.validation_log, validated))
    for text in [*said, *cut]:
        watch.line(text)
    distributed.on_first(partial(_note, run, step, [*said, *cut]))


def _note(run: RunDir, step: int, said: list[str]) -> None:
    before = run.record().get("resumed", [])
    entry = {"step": step, "world": distributed.world(), "at": time.strftime(TIME_FORMAT), "said": said}
    run.update(resumed=[*before, entry])


def cut_log(log: Path, step: int) -> list[str]:
    """Keep the lines of a log up to `step`; move later ones, which come again, to <log>.<n>.discarded."""
    if not log.is_file():
        return []
    lines = log.read_bytes().splitlines(keepends=True)
    kept: list[bytes] = []
    rest: list[bytes] = []
    for line in lines:
        (kept if _step_of(line) <= step else rest).append(line)
    if not rest:
        return []
    number = 1
    while (aside := log.with_name(f"{log.name}.{number}.discarded")).exists():
        number += 1
    write_bytes(aside, b"".join(rest))
    write_bytes(log, b"".join(kept))
    return [f"{len(rest)} lines of {log.name} after step {step} are moved to {aside.name}: they come again"]


def _step_of(line: bytes) -> float:
    """The step of a whole line; infinity for one that was cut short."""
    if not line.endswith(b"\n"):
        return math.inf
    try:
        values: Any = json.loads(line)
        return int(values["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
