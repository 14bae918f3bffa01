"""Seconds per optimizer step, for both models, at stage 0 and 3."""

from __future__ import annotations

import pytest

from benchmarks.conftest import MODELS
from vesselbench.training.engine import Engine


@pytest.mark.parametrize("stage", [0, 3])
@pytest.mark.parametrize("model", MODELS)
def bench_train_step(benchmark, note, recipe, dataset, catalogue, device, model, stage):
    chosen = recipe(model, f"train.zero_stage={stage}", "train.device=auto")
    engine = Engine.build(chosen, dataset.task, catalogue, device)
    batches = engine.train_batches(dataset.of("train"))
    micro_batches = next(batches)[1]
    benchmark.pedantic(engine.train_step, args=(micro_batches,), rounds=5, warmup_rounds=2)
    engine.close()
    note(chosen.train.batch_size, str(engine.dtype).removeprefix("torch."), model=model, zero_stage=stage)
