"""The training loop of every model.

Whatever has state across steps is registered with `States` before the first step; the contract is in state.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from vesselbench import distributed
from vesselbench.alive import signs_of_life
from vesselbench.config import Recipe, TrainConfig
from vesselbench.data.cache import open_cache
from vesselbench.data.dataset import Dataset
from vesselbench.evaluation.basis import basis_of_run
from vesselbench.evaluation.evaluate import Evaluation, evaluate
from vesselbench.evaluation.predict import load_predictor
from vesselbench.jobs import StoppedError, is_first
from vesselbench.plugins import Catalogue, is_trained
from vesselbench.recipes import model_settings
from vesselbench.rundir import RunDir, file_sha256
from vesselbench.training.accounting import Forecast
from vesselbench.training.budget import Budget
from vesselbench.training.checkpoints import Checkpoints
from vesselbench.training.choosing import choose
from vesselbench.training.engine import Engine, prepare_process
from vesselbench.training.features import prepare_features
from vesselbench.training.feed import check_samples
from vesselbench.training.gauges import Gauges
from vesselbench.training.integrity import Integrity, child_of
from vesselbench.training.progress import Progress
from vesselbench.training.randomness import RandomState
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
    tell_forecast,
)
from vesselbench.training.resuming import dataset_of, go_on, recipe_for, reopen_run
from vesselbench.training.schedule import due
from vesselbench.training.state import States
from vesselbench.training.stop import Stop
from vesselbench.training.trackers import Trackers
from vesselbench.types import Batch, Sample
from vesselbench.watch import Silent, Watch


def train(
    recipe: Recipe, catalogue: Catalogue, runs: Path, watch: Watch, resumed: RunDir | None = None
) -> RunDir | None:
    """Train the recipe's model into a new run below `runs`; score its best checkpoint on the validation set.

    With `resumed`, a run that did not finish, the training goes on in its folder from its newest sound checkpoint.
    Returns the run on rank 0, None on the others. A failure is recorded in run.json before it is raised.
    """
    with Stop((watch if is_first() else Silent()).line) as stop:
        return _train(recipe, catalogue, runs, watch, resumed, stop)


def _train(
    recipe: Recipe, catalogue: Catalogue, runs: Path, watch: Watch, resumed: RunDir | None, stop: Stop
) -> RunDir | None:
    device = prepare_process(recipe.train)
    first = distributed.rank() == 0
    watch = watch if first else Silent()
    dataset = distributed.on_first(partial(dataset_of, recipe, catalogue, resumed))
    recipe, plan = distributed.on_first(partial(recipe_for, recipe, dataset, catalogue, device, resumed))
    distributed.on_first(partial(check_samples, recipe, dataset, catalogue))
    budget = Budget.of(recipe, catalogue, dataset.of("train"))
    run = open_run(recipe, budget, dataset, catalogue, runs, plan) if resumed is None else reopen_run(resumed)
    for text in (plan or "").splitlines():
        watch.line(text)
    trackers = Trackers(recipe.trackers, run.path, catalogue, first)
    with failures_recorded(run), signs_of_life(run if first else None), trackers:
        train_steps(recipe, budget, catalogue, dataset, run, device, watch, stop, trackers, resumed is not None)
        stop.check()
    distributed.disconnect()  # not after an error: that would end the others before this rank has said why
    if not first:
        return None
    with failures_recorded(run), signs_of_life(run):
        finish(run, recipe, catalogue, dataset, watch, stop)
    return run


def train_steps(
    recipe: Recipe,
    budget: Budget,
    catalogue: Catalogue,
    dataset: Dataset,
    run: RunDir,
    device: torch.device,
    watch: Watch,
    stop: Stop,
    trackers: Trackers,
    resumed: bool = False,
    announced: tuple[Recipe, Budget, Dataset] | None = None,
) -> None:
    """All optimizer steps that are left, with validations and checkpoints in between.

    `announced`: the training that is accounted for, where it is not this one (a dry run).
    """
    if not is_trained(catalogue.models[recipe.model["name"]]):
        stop.wait_for_checks()
        choose(recipe, catalogue, dataset, run, device, watch, trackers, partial(_tell, watch, stop, "validate"))
        return
    engine = Engine.build(recipe, dataset.task, catalogue, device, budget)
    for text in prepare_features(engine, recipe, catalogue, dataset.of("train")):
        watch.line(text)
    planned, whole, samples = announced or (recipe, budget, dataset)
    describe(engine, planned, whole, samples, catalogue, run, watch)
    validate = partial(
        evaluate,
        engine.predict,
        dataset.of("val"),
        recipe.evaluation.while_training(),
        catalogue,
        set_name="val",
        fingerprint=dataset.split.fingerprint,
        progress=partial(_tell, watch, stop, "validate"),
        cache=open_cache(recipe.data),
    )
    engine.clock.set_aside("start")
    stop.wait_for_checks()
    if resumed or not recipe.train.validate_first:
        validate(limit=1)  # a defect of the evaluation shows now, not after an epoch
    engine.clock.set_aside("smoke test")
    smoke = engine.clock.aside["smoke test"]
    forecast = Forecast(planned.train, whole.steps, distributed.world(), len(samples.of("val")), smoke)
    progress, random, gauges = Progress(), RandomState(device), Gauges(device)
    checkpoints = Checkpoints(run, recipe, catalogue, engine, _states(engine, progress, random, gauges), progress)
    if resumed:
        go_on(run, checkpoints, watch)
        trackers.resume(progress.step)
    integrity = _integrity(engine, recipe, catalogue)
    engine.clock.set_aside("start")
    parts = engine, gauges, validate, progress, random, integrity, checkpoints, trackers, watch, stop, forecast
    work = Work(recipe.train, run, *parts)
    if recipe.train.validate_first and not progress.step:
        work.validate_first()
    work.go(dataset.of("train"))
    if announced is not None:
        tell_forecast(run, forecast.foretell(0), watch)
    engine.close()


def _integrity(engine: Engine, recipe: Recipe, catalogue: Catalogue) -> Integrity:
    plugin, config = model_settings(recipe, catalogue)
    part_of = plugin.part_of if hasattr(plugin, "part_of") else child_of
    alternatives = plugin.alternatives(config) if hasattr(plugin, "alternatives") else []
    return Integrity(engine.engine, engine.module, part_of, recipe.train.check_after, alternatives)


def _states(engine: Engine, progress: Progress, random: RandomState, gauges: Gauges) -> States:
    """Everything that has state across steps."""
    states = States()
    states.register("progress", progress)
    states.register("budget", engine.budget)
    states.register("clock", engine.clock)
    states.register("optimizer", engine.optimizer_state())
    if engine.average is not None:
        states.register("average", engine.average)
    states.register("random", random, per_rank=True)
    states.register("gauges", gauges, per_rank=True)
    return states


@dataclass
class Work:
    """The steps of one training, and what follows each of them."""

    settings: TrainConfig
    run: RunDir
    engine: Engine
    gauges: Gauges
    validate: Callable[[], Evaluation]
    progress: Progress
    random: RandomState
    integrity: Integrity
    checkpoints: Checkpoints
    trackers: Trackers
    watch: Watch
    stop: Stop
    forecast: Forecast

    def go(self, samples: Sequence[Sample]) -> None:
        """From the step that is done already to the end of the budget; asked to stop, it saves and raises."""
        clock = self.engine.clock
        try:
            self._go(samples)
        except StoppedError:
            if self.progress.step:  # before the first step there is nothing to save
                with self.engine.averaged():
                    self.watch.line(self.checkpoints.save(self.progress.step))
            raise
        stopped = not self.engine.budget.is_used(self.progress.step)
        if stopped:
            self.watch.line(f"stopped early: {self.progress.waited} validations without a better score")
        counts = {"validations": self.progress.validations, "stopped_early": stopped}
        facts = clock.facts(self.settings.batch_size) | machine_facts(self.gauges, self.engine.device)
        self.checkpoints.record({"steps": self.progress.step, **counts, **facts})

    def _go(self, samples: Sequence[Sample]) -> None:
        done = self.progress.step
        if done and self.owes_validation(done):  # the run was stopped between a step and its validation
            self.look(done)
        if done and self.is_over(done):
            return
        # closed in any case: the loader's processes do not hear SIGTERM, and waiting for them would not end
        with closing(self.engine.train_batches(samples, done)) as steps:
            for step, batches in steps:
                self.engine.clock.lap("data")
                self.step(step, batches)
                self.stop.check()
                self.look(step)
                if self.is_over(step):
                    return

    def is_over(self, step: int) -> bool:
        """Whether nothing follows step `step`: the budget is used, or patience is at its end."""
        patience = self.settings.patience
        return self.engine.budget.is_used(step) or 0 < patience <= self.progress.waited

    def owes_validation(self, step: int) -> bool:
        """Whether step `step` is to be followed by a validation that is not done yet."""
        validates = due(step, self.settings.validate_every) or self.engine.budget.is_used(step)
        return validates and self.progress.validated_step < step

    def validate_first(self) -> None:
        """Score the weights that training starts from; they are no checkpoint."""
        result = self.validate()
        self.engine.clock.set_aside("validation")
        self.forecast.learn(self.engine.clock.aside["validation"])
        log_validation(self.run, 0, result, self.engine.clock, self.trackers)
        self.watch.line(self.checkpoints.note_first(result.scores))

    def step(self, step: int, batches: Sequence[Batch]) -> None:
        """One optimizer step, and its line in the log when that is due."""
        engine, clock, size = self.engine, self.engine.clock, self.settings.batch_size
        logged = due(step, self.settings.log_every)
        losses = engine.train_step(batches, self.integrity.before_step if logged else None)
        clock.end_step()
        engine.budget.spend(clock.newest)
        self.progress.step, self.progress.samples = step, self.progress.samples + size
        self.watch.progress("train", *engine.budget.progress(step), glance(engine, losses, size))
        tell_forecast(self.run, self.forecast.after(step, clock.newest), self.watch)
        if due(step, self.settings.log_every) or engine.budget.is_used(step):
            values = distributed.mean_over_ranks(losses) | engine.meters() | self.integrity.meters()
            log_step(self.run, step, values, measured(engine, self.gauges, size), self.trackers)
        speed = engine.learning_rate / self.settings.lr
        for text in self.integrity.after_step(engine.budget.is_used(step), speed):
            self.watch.line(text)
        clock.set_aside("logging")

    def look(self, step: int) -> None:
        """What follows step `step`: a validation when it is due and not done yet, and a checkpoint when that is due."""
        if self.owes_validation(step):
            with self.engine.averaged():
                self._validate_and_save(step)
        elif due(step, self.settings.save_every):  # a validation saves too
            with self.engine.averaged():
                self.watch.line(self.checkpoints.save(step))
        self.engine.clock.set_aside("saving")

    def _validate_and_save(self, step: int) -> None:
        before = self.random.state()
        try:
            result = self.validate()
        except StoppedError:
            self.random.restore(before)  # it will be done again, from its beginning
            raise
        self.engine.clock.set_aside("validation")
        log_validation(self.run, step, result, self.engine.clock, self.trackers)
        self.trackers.scores = result.scores
        self.watch.line(self.checkpoints.offer_best(step, result.scores))


def _tell(watch: Watch, stop: Stop, task: str, done: int, total: int) -> None:
    watch.progress(task, done, total)
    stop.check()  # scoring may take long; where several ranks do it, they make equally many steps


def finish(run: RunDir, recipe: Recipe, catalogue: Catalogue, dataset: Dataset, watch: Watch, stop: Stop) -> Evaluation:
    """Score the best checkpoint on the validation set in plain torch, which fixes the threshold; close the record."""
    weights, samples = file_sha256(run.weights()), dataset.of("val")
    result = evaluate(
        load_predictor(run, catalogue, recipe.train.device),
        samples,
        recipe.evaluation,
        catalogue,
        set_name="val",
        fingerprint=dataset.split.fingerprint,
        weights_sha256=weights,
        basis=basis_of_run(run, recipe, samples, catalogue, weights, dataset.split.fingerprint),
        run=run,
        progress=partial(_tell, watch, stop, "score val"),
        cache=open_cache(recipe.data),
    )
    run.update(
        status="finished",
        finished=time.strftime(TIME_FORMAT),
        threshold=result.scores.threshold,
        weights_sha256=weights,
    )
    return result
