"""Seconds per optimizer step, from files to changed weights, for every trained model at every ZeRO stage.

All models get equal crops and batches (Sa2VA whole images), so that an entry takes half a second or less.
"""

from __future__ import annotations

import pytest

from benchmarks.conftest import TRAINED
from vesselbench.benchmarking.subjects import Steps
from vesselbench.training.engine import Engine

SMALL = ("configure=[]", "train.augment.crop=64", "train.batch_size=2", "train.steps=1000")


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("model", TRAINED)
def bench_train_step(timed, recipe, dataset, catalogue, device, model, stage):
    chosen = recipe(model, f"train.zero_stage={stage}", *SMALL)
    engine = Engine.build(chosen, dataset.task, catalogue, device)
    with Steps(engine, dataset.of("train"), chosen.train.total_steps) as steps:
        timed(steps.one, samples=chosen.train.batch_size, data=steps.newest_wait, rounds=9)
    engine.close()
    timed.note(model=model, zero_stage=stage)
