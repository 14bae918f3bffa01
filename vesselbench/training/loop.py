"""The training loop of every model."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import torch

from vesselbench import distributed
from vesselbench.config import Recipe
from vesselbench.data.cache import open_cache
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.evaluation.evaluate import Evaluation, evaluate
from vesselbench.evaluation.predict import load_predictor
from vesselbench.plugins import Catalogue
from vesselbench.rundir import RunDir, file_sha256
from vesselbench.training.budget import Budget
from vesselbench.training.checkpoints import Checkpoints
from vesselbench.training.engine import Engine, prepare_process
from vesselbench.training.gauges import Gauges
from vesselbench.training.record import (
    TIME_FORMAT,
    describe,
    failures_recorded,
    glance,
    log_step,
    log_validation,
    machine_facts,
    measured,
    open_run,
)
from vesselbench.training.schedule import due
from vesselbench.training.trackers import Trackers
from vesselbench.watch import Silent, Watch


def train(recipe: Recipe, catalogue: Catalogue, runs: Path, watch: Watch) -> RunDir | None:
    """Train the recipe's model into a new run below `runs`; score its best checkpoint on the validation set.

    Returns the run on rank 0, None on the others. A failure is recorded in run.json before it is raised.
    """
    device = prepare_process(recipe.train)
    first = distributed.rank() == 0
    watch = watch if first else Silent()
    dataset = distributed.on_first(partial(load_dataset, recipe.data, catalogue))
    budget = Budget.of(recipe, catalogue, dataset.of("train"))
    run = open_run(recipe, budget, dataset, catalogue, runs)
    with failures_recorded(run):
        train_steps(recipe, budget, catalogue, dataset, run, device, watch)
    distributed.disconnect()  # not after an error: that would end the others before this rank has said why
    if not first:
        return None
    with failures_recorded(run):
        finish(run, recipe, catalogue, dataset, watch)
    return run


def train_steps(
    recipe: Recipe,
    budget: Budget,
    catalogue: Catalogue,
    dataset: Dataset,
    run: RunDir,
    device: torch.device,
    watch: Watch,
) -> None:
    """All optimizer steps, with validations and checkpoints in between."""
    settings = recipe.train
    engine = Engine.build(recipe, dataset.task, catalogue, device, budget)
    describe(engine, recipe, dataset, catalogue, run, watch)
    validate = partial(
        evaluate,
        engine.predict,
        dataset.of("val"),
        recipe.evaluation.while_training(),
        catalogue,
        set_name="val",
        fingerprint=dataset.split.fingerprint,
        progress=partial(watch.progress, "validate"),
        cache=open_cache(recipe.data),
    )
    validate(limit=1)  # a defect of the evaluation shows now, not after an epoch
    checkpoints = Checkpoints(run, recipe, catalogue, engine.module)
    clock, gauges = engine.clock, Gauges(device)
    clock.set_aside("start")
    with Trackers(recipe.trackers, run.path, catalogue, distributed.rank() == 0) as trackers:
        for step, batches in engine.train_batches(dataset.of("train")):
            clock.lap("data")
            losses = engine.train_step(batches)
            clock.end_step()
            budget.spend(clock.steps[-1])
            watch.progress("train", *budget.progress(step), glance(engine, losses, settings.batch_size))
            last = budget.is_used(step)
            if due(step, settings.log_every) or last:
                values = distributed.mean_over_ranks(losses) | engine.meters()
                log_step(run, step, values, measured(engine, gauges, settings.batch_size), trackers)
            clock.set_aside("logging")
            if due(step, settings.validate_every) or last:
                result = validate()
                clock.set_aside("validation")
                log_validation(run, step, result, clock, trackers)
                trackers.scores = result.scores
                watch.line(checkpoints.offer_best(step, trackers.scores))
            if due(step, settings.save_every):
                checkpoints.save(step)
            clock.set_aside("saving")
            if last:
                break
    checkpoints.record({"steps": step} | clock.facts(settings.batch_size) | machine_facts(gauges, device))
    engine.close()


def finish(run: RunDir, recipe: Recipe, catalogue: Catalogue, dataset: Dataset, watch: Watch) -> Evaluation:
    """Score the best checkpoint on the validation set in plain torch, which fixes the threshold; close the record."""
    weights = file_sha256(run.weights())
    result = evaluate(
        load_predictor(run, catalogue, recipe.train.device),
        dataset.of("val"),
        recipe.evaluation,
        catalogue,
        set_name="val",
        fingerprint=dataset.split.fingerprint,
        weights_sha256=weights,
        run=run,
        progress=partial(watch.progress, "score val"),
        cache=open_cache(recipe.data),
    )
    run.update(
        status="finished",
        finished=time.strftime(TIME_FORMAT),
        threshold=result.scores.threshold,
        weights_sha256=weights,
    )
    return result
