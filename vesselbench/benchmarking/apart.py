"""Each measurement in a process of its own, so that its memory is its own and no model slows the next."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from vesselbench.benchmarking.figures import Figures
from vesselbench.benchmarking.kept import Benchmark, cost_sha256, keep
from vesselbench.benchmarking.machine import Machine, this_machine
from vesselbench.config import Recipe
from vesselbench.data.dataset import Dataset
from vesselbench.errors import UserError
from vesselbench.jobs import is_rank
from vesselbench.plugins import Catalogue, is_trained, load_catalogue
from vesselbench.watch import Watch

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"


def measure_recipe(
    recipe: Recipe, catalogue: Catalogue, runs: Path, rounds: int, warmup: int, watch: Watch
) -> tuple[Benchmark, Path]:
    """Measure the optimizer step and the prediction of a recipe, on one process, and keep the result below `runs`.

    Raises UserError where a launcher has started this process, for data that cannot be read or a recipe that cannot be
    trained here, and when the system ended a measurement (memory).
    """
    from vesselbench.configuring import configured
    from vesselbench.data.dataset import load_dataset
    from vesselbench.training.engine import choose_device

    if is_rank():
        raise UserError("vesselbench bench measures one process", "start it without torchrun")
    device = choose_device(recipe.train)
    dataset = load_dataset(recipe.data, catalogue)
    recipe, _ = configured(recipe, dataset, catalogue, device)
    names = ["training_step"] if is_trained(catalogue.models[recipe.model["name"]]) else []
    found = []
    for name in [*names, "prediction"]:
        watch.line(f"{recipe.name}: {name.replace('_', ' ')}, {warmup} + {rounds} rounds in a process of its own")
        found.append(_measure_apart(name, recipe, dataset, rounds, warmup))
    figures, machines = zip(*found, strict=True)
    benchmark = Benchmark(
        recipe=recipe.name,
        model=str(recipe.model["name"]),
        measured=time.strftime(TIME_FORMAT),
        cost_sha256=cost_sha256(recipe.model_dump(mode="json")),
        machine=machines[0],
        figures=figures,
    )
    path = keep(benchmark, runs)
    watch.line(f"{recipe.name}: kept in {path}")  # now: a later recipe may fail
    return benchmark, path


def _measure_apart(name: str, recipe: Recipe, dataset: Dataset, rounds: int, warmup: int) -> tuple[Figures, Machine]:
    job = partial(_measure, name, recipe, dataset, rounds, warmup)
    with ProcessPoolExecutor(1, get_context("spawn"), _speak_on_standard_error) as pool:
        try:
            return pool.submit(job).result()
        except BrokenProcessPool:
            raise UserError(
                f"the process that measured {recipe.name} was ended by the system",
                "look at the memory it needs (vesselbench plan)",
            ) from None


def _measure(name: str, recipe: Recipe, dataset: Dataset, rounds: int, warmup: int) -> tuple[Figures, Machine]:
    import torch

    from vesselbench.benchmarking import subjects

    subject: subjects.Subject = getattr(subjects, name)
    figures = subject(recipe, dataset, load_catalogue(), rounds, warmup)
    on_cpu = figures.device == "cpu"
    return figures, this_machine(figures.threads, "cpu" if on_cpu else torch.cuda.get_device_name())


def _speak_on_standard_error() -> None:
    """Standard output is the command's: libraries speak on standard error."""
    os.dup2(2, 1)
