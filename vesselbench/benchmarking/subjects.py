"""What is measured of a recipe: its optimizer step, data included, and its prediction of one image."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice

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

Subject = Callable[[Recipe, Dataset, Catalogue, int, int], Figures]
"""From a recipe without keys left to rules, its data, and how many rounds and warm-up rounds (1 at least)."""


def computing_type(train: TrainConfig) -> torch.dtype:
    """The type in which convolutions and matrix products are computed."""
    return torch.float32 if train.precision == "fp32" else torch.bfloat16


def training_step(recipe: Recipe, dataset: Dataset, catalogue: Catalogue, rounds: int, warmup: int) -> Figures:
    """Optimizer steps as a training makes them: batch from the loader, forward, backward, optimizer.

    Not in it: validations, checkpoints and the log. The first warm-up step runs under the counter of operations.
    """
    device = prepare_process(recipe.train)
    taken, samples = Rounds(device, computing_type(recipe.train)), dataset.of("train")
    engine = Engine.build(recipe, dataset.task, catalogue, device, Budget.of(recipe, catalogue, samples))
    steps = engine.feed.batches(samples, distributed.rank(), distributed.world(), 0, warmup + rounds)
    with closing(steps):
        _, first = next(steps)
        flops = count_flops(lambda: engine.train_step(first))
        for _, batches in islice(steps, warmup - 1):
            engine.train_step(batches)
        for _ in range(rounds):
            taken.before()
            clock = engine.clock = StepClock(device)
            _, batches = next(steps)
            clock.lap("data")
            engine.train_step(batches)
            clock.end_step()
            taken.after(clock.total, clock.totals["data"])
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
