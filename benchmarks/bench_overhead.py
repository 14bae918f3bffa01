"""What the harness costs, as ratios within one run: rounds of both sides alternate, medians of their ratios count.

Aims: the harness at stage 0 at most 1.10 of a bare torch loop with the same loader, optimizer, clipping and schedule;
logging and telemetry at most 1.02 of the same steps without them; stage 3 on one rank at most 1.6 of stage 0 for
`unet`, 3 for the tiny `sa2va`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.conftest import MODELS, Timed
from vesselbench.config import Recipe
from vesselbench.model import batch_to, build_model
from vesselbench.recipes import model_settings
from vesselbench.rundir import RunDir
from vesselbench.training.accounting import Forecast
from vesselbench.training.engine import Engine
from vesselbench.training.feed import Feed
from vesselbench.training.gauges import Gauges
from vesselbench.training.integrity import Integrity, child_of
from vesselbench.training.loop import Work
from vesselbench.training.optimizer import make_optimizer, param_groups
from vesselbench.training.progress import Progress
from vesselbench.training.trackers import Trackers
from vesselbench.watch import Silent

ROUNDS, STEPS, WARM = 9, 2, 2
ENDLESS = 10**6
STEADY = "train.device=cpu", f"train.steps={ENDLESS}", "train.warmup=0"
"""Learning at the full rate from the first step on: of 1,000,000 steps a warm-up would be 50,000."""


class Alternating:
    """Two sides, a round of each in turn; every round is `steps` optimizer steps."""

    def __init__(self, first: Callable[[], object], second: Callable[[], object], steps: int) -> None:
        self.sides, self.seconds, self.steps = (first, second), ([], []), steps

    def __call__(self) -> None:
        order = (0, 1) if len(self.seconds[0]) % 2 else (1, 0)
        for side in order:
            started = time.perf_counter()
            for _ in range(self.steps):
                self.sides[side]()
            self.seconds[side].append(time.perf_counter() - started)

    def facts(self, warm: int) -> dict[str, Any]:
        """Median ratio of the second side to the first, its quartiles, and each side's median milliseconds per step."""
        first, second = (seconds[warm:] for seconds in self.seconds)
        ratios = [b / a for a, b in zip(first, second, strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
        ms = [1000 * statistics.median(side) / self.steps for side in (first, second)]
        return {"ratio": statistics.median(ratios), "quartiles": (low, high), "ms_per_step": ms, "rounds": len(ratios)}


def bare_steps(recipe: Recipe, dataset: Any, catalogue: Any) -> Iterator[None]:
    """What one would write without any harness."""
    train, (plugin, config) = recipe.train, model_settings(recipe, catalogue)
    module = build_model(recipe, dataset.task, catalogue).train()
    optimizer = make_optimizer(param_groups(module, train), train)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    feed = Feed.of(plugin, config, dataset.task, train)
    for _, batches in feed.batches(dataset.of("train"), 0, 1, steps=ENDLESS):
        for batch in batches:
            loss = module.loss(batch_to(batch, torch.device("cpu")))["loss"]
            (loss / len(batches)).backward()
        torch.nn.utils.clip_grad_norm_(trained, train.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()  # a loop shows its loss
        yield


def harness_steps(engine: Engine, dataset: Any) -> Iterator[None]:
    for _, batches in engine.feed.batches(dataset.of("train"), 0, 1, steps=ENDLESS):
        engine.train_step(batches)
        yield


def logged_steps(engine: Engine, dataset: Any, recipe: Recipe, catalogue: Any, folder: Path) -> Iterator[None]:
    """The training loop's steps: the clock's laps, the live view's values, a line of the log every ``log_every``."""
    unused: Any = None  # neither validations nor checkpoints are due
    work = Work(
        settings=recipe.train,
        run=RunDir(folder),
        engine=engine,
        gauges=Gauges(engine.device),
        validate=unused,
        progress=Progress(),
        random=unused,
        integrity=Integrity(engine.engine, engine.module, child_of, recipe.train.check_after),
        checkpoints=unused,
        trackers=Trackers([], folder, catalogue, enabled=True),
        watch=Silent(),
        stop=unused,
        forecast=Forecast(recipe.train, ENDLESS, 1, images=0, smoke_seconds=0.0),
    )
    for step, batches in engine.feed.batches(dataset.of("train"), 0, 1, steps=ENDLESS):
        engine.clock.lap("data")
        work.step(step, batches)
        yield


def measure(timed: Timed, first: Iterator[None], second: Iterator[None], batch: int, **more: object) -> None:
    """Time both sides by turns and note their ratio; the loader of one batch waits in neither."""
    rounds = Alternating(lambda: next(first), lambda: next(second), STEPS if timed.enabled else 1)
    if timed(rounds, samples=2 * STEPS * batch, data=0.0, rounds=ROUNDS, warmup=WARM) is not None:
        timed.note(**rounds.facts(WARM), **more)


@pytest.mark.parametrize("model", MODELS)
def bench_harness_over_bare_torch(timed, recipe, dataset, catalogue, device, model):
    chosen = recipe(model, "train.zero_stage=0", *STEADY)
    engine = Engine.build(chosen, dataset.task, catalogue, device)
    sides = bare_steps(chosen, dataset, catalogue), harness_steps(engine, dataset)
    measure(timed, *sides, chosen.train.batch_size, model=model, aim=1.10)
    engine.close()


@pytest.mark.parametrize("model", MODELS)
def bench_logging_over_steps(timed, recipe, dataset, catalogue, device, tmp_path, model):
    chosen = recipe(model, "train.zero_stage=0", *STEADY)
    plain, logged = (Engine.build(chosen, dataset.task, catalogue, device) for _ in range(2))
    second = logged_steps(logged, dataset, chosen, catalogue, tmp_path)
    measure(timed, harness_steps(plain, dataset), second, chosen.train.batch_size, model=model, aim=1.02)
    plain.close()
    logged.close()


@pytest.mark.parametrize(("model", "aim"), [("unet", 1.6), ("sa2va", 3.0)])
def bench_stage_3_over_stage_0(timed, recipe, dataset, catalogue, device, model, aim):
    recipes = [recipe(model, f"train.zero_stage={stage}", *STEADY) for stage in (0, 3)]
    engines = [Engine.build(chosen, dataset.task, catalogue, device) for chosen in recipes]
    sides = (harness_steps(engine, dataset) for engine in engines)
    measure(timed, *sides, recipes[0].train.batch_size, model=model, aim=aim)
    for engine in engines:
        engine.close()
