"""What is measured of a recipe: its optimizer step, data included, and its prediction of one image."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from vesselbench import distributed
from vesselbench.benchmarking.figures import Figures
from vesselbench.benchmarking.flops import count_flops
from vesselbench.benchmarking.rounds import Rounds
from vesselbench.config import Recipe, TrainConfig
from vesselbench.data.cache import load_with, open_cache
from vesselbench.data.dataset import Dataset
from vesselbench.evaluation.predict import Predictor
from vesselbench.model import build_model
from vesselbench.plugins import Catalogue
from vesselbench.recipes import model_settings
from vesselbench.training.budget import Budget
from vesselbench.training.engine import Engine, prepare_process
from vesselbench.training.telemetry import StepClock
from vesselbench.types import Sample

Subject = Callable[[Recipe, Dataset, Catalogue, int, int], Figures]
"""From a recipe without keys left to rules, its data, and how many rounds and warm-up rounds (1 at least)."""


def computing_type(train: TrainConfig) -> torch.dtype:
    """The type in which convolutions and matrix products are computed."""
    return torch.float32 if train.precision == "fp32" else torch.bfloat16


class Steps:
    """Optimizer steps as a training makes them: batch from the loader, forward, backward, optimizer. A context: the
    loader's processes end with it."""

    def __init__(self, engine: Engine, samples: Sequence[Sample], most: int) -> None:
        self._engine = engine
        self._batches = engine.feed.batches(samples, distributed.rank(), distributed.world(), 0, most)

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        self._batches.close()

    def one(self) -> None:
        """Make one step."""
        clock = self._engine.clock = StepClock(self._engine.device)
        _, batches = next(self._batches)
        clock.lap("data")
        self._engine.train_step(batches)
        clock.end_step()

    def newest(self) -> float:
        """Seconds of the newest step."""
        return self._engine.clock.total

    def newest_wait(self) -> float:
        """Of these, seconds in which it read or waited for data."""
        return self._engine.clock.totals["data"]


def training_step(recipe: Recipe, dataset: Dataset, catalogue: Catalogue, rounds: int, warmup: int) -> Figures:
    """One step of `Steps`. Not in it: validations, checkpoints and the log. The first warm-up step runs under the
    counter of operations."""
    device = prepare_process(recipe.train)
    taken, samples = Rounds(device, computing_type(recipe.train)), dataset.of("train")
    engine = Engine.build(recipe, dataset.task, catalogue, device, Budget.of(recipe, catalogue, samples))
    with Steps(engine, samples, warmup + rounds) as steps:
        flops = count_flops(steps.one)
        for _ in range(warmup - 1):
            steps.one()
        for _ in range(rounds):
            taken.before()
            steps.one()
            taken.after(steps.newest(), steps.newest_wait())
    figures = taken.figures("training step", samples=recipe.train.batch_size, warmup=warmup, flops=flops)
    engine.close()
    return figures


def prediction(recipe: Recipe, dataset: Dataset, catalogue: Catalogue, rounds: int, warmup: int) -> Figures:
    """Predictions of the first validation image as an evaluation makes them: decoded, collated, probabilities in its
    size. In plain torch, with weights as they are built (their values change no time)."""
    device = prepare_process(recipe.train)
    taken = Rounds(device, computing_type(recipe.train))
    plugin, config = model_settings(recipe, catalogue)
    module = build_model(recipe, dataset.task, catalogue)
    predict = Predictor.of(module, plugin.collator(config, dataset.task), device, recipe)
    sample, cache = dataset.of("val")[0], open_cache(recipe.data)
    flops = count_flops(lambda: predict([load_with(cache, sample)]))
    for _ in range(warmup - 1):
        predict([load_with(cache, sample)])
    for _ in range(rounds):
        taken.before()
        started = time.perf_counter()
        example = load_with(cache, sample)
        read = time.perf_counter()
        predict([example])
        taken.after(time.perf_counter() - started, read - started)
    return taken.figures("prediction", samples=1, warmup=warmup, flops=flops)
