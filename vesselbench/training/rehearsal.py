"""The whole road of a training in two optimizer steps: train, save, load, evaluate; then its folder is removed."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from vesselbench import distributed
from vesselbench.config import Recipe
from vesselbench.configuring import configured
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.errors import UserError
from vesselbench.jobs import StoppedError, is_first
from vesselbench.plugins import Catalogue
from vesselbench.rundir import RunDir, read_jsonl
from vesselbench.training.budget import Budget
from vesselbench.training.engine import prepare_process
from vesselbench.training.feed import check_samples
from vesselbench.training.loop import finish, train_steps
from vesselbench.training.record import failures_recorded, open_run
from vesselbench.training.stop import Stop
from vesselbench.training.trackers import Trackers
from vesselbench.watch import Silent, Watch

STEPS = 2
IMAGES = 2
"""Validation samples that are scored."""


def rehearse(recipe: Recipe, catalogue: Catalogue, runs: Path, watch: Watch, keep: bool = False) -> None:
    """Say what the training of `recipe` is going to do, then do `STEPS` optimizer steps of it and all that follows.

    The run folder lies in a hidden folder of its own below `runs` (on the disk that a training would use) and is
    removed afterwards, also after a failure, unless `keep`. No command takes it for a run of the recipe. Trackers stay
    off. Raises whatever the training would.
    """
    with Stop((watch if is_first() else Silent()).line) as stop:
        _rehearse(recipe, catalogue, runs, watch, keep, stop)


def _rehearse(recipe: Recipe, catalogue: Catalogue, runs: Path, watch: Watch, keep: bool, stop: Stop) -> None:
    device = prepare_process(recipe.train)
    first = distributed.rank() == 0
    watch = watch if first else Silent()
    dataset = distributed.on_first(partial(load_dataset, recipe.data, catalogue))
    recipe, plan = distributed.on_first(partial(configured, recipe, dataset, catalogue, device))
    distributed.on_first(partial(check_samples, recipe, dataset, catalogue))
    for text in (plan or "").splitlines():
        watch.line(text)
    budget = Budget.of(recipe, catalogue, dataset.of("train"))
    short, few = _shortened(recipe), _with_few(dataset)
    folder = Path(distributed.on_first(partial(_temporary, runs)))
    try:
        run = open_run(short, Budget(short.train, STEPS), few, catalogue, folder)
        with failures_recorded(run), Trackers([], run.path, catalogue, False) as trackers:
            length, announced = Budget(short.train, STEPS), (recipe, budget, dataset)
            train_steps(short, length, catalogue, few, run, device, watch, stop, trackers, announced=announced)
            stop.check()
            distributed.disconnect()
            if first:
                finish(run, short, catalogue, few, watch, stop)
                _say(run, watch, folder if keep else None)
    except StoppedError as stopped:
        stopped.hint = "start it again: a dry run cannot be resumed"
        raise
    finally:
        if first and not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _shortened(recipe: Recipe) -> Recipe:
    """The same training, `STEPS` steps long, every one logged."""
    length = {"epochs": None, "samples": None, "minutes": None, "steps": STEPS, "patience": 0}
    other = {"validate_first": False, "validate_every": 0, "save_every": 0, "log_every": 1}
    train = recipe.train.model_copy(update={**length, **other})
    return recipe.model_copy(update={"train": train, "trackers": []})


def _with_few(dataset: Dataset) -> Dataset:
    sets = {**dataset.split.sets, "val": dataset.split.sets["val"][:IMAGES]}
    return replace(dataset, split=replace(dataset.split, sets=sets))


def _temporary(runs: Path) -> str:
    try:
        runs.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(prefix=".dry-run-", dir=runs)
    except OSError as error:
        raise UserError(
            f"cannot make a folder below {runs}: {error.strerror}", "choose another --runs folder"
        ) from None


def _say(run: RunDir, watch: Watch, kept: Path | None) -> None:
    """What was tried, with what came of it; all of it worked, else this is not reached."""
    rows, record = read_jsonl(run.train_log) if run.train_log.is_file() else [], run.record()
    scores = run.scores("val")
    losses = " and ".join(f"{row['loss']:.4f}" for row in rows)
    size = sum(path.stat().st_size for path in run.weights().parent.rglob("*") if path.is_file())
    watch.table(
        "Dry run: all of this worked",
        [
            ("train", f"{len(rows)} optimizer steps, losses {losses}")
            if rows
            else ("choose", f"{len(record['tried'])} settings, on {IMAGES} validation samples at most"),
            ("save", f"a checkpoint of {size:,} bytes, read back and compared"),
            ("load", f"into plain torch, without DeepSpeed (SHA-256 {record['weights_sha256'][:12]})"),
            ("evaluate", f"{len(scores.rows)} validation samples by {len(scores.metric_versions)} metrics"),
            ("folder", f"kept: {run.path}" if kept else "removed"),
        ],
    )
