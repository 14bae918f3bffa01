"""Images per second of a prediction, decoded image to probability map."""

from __future__ import annotations

import pytest

from benchmarks.conftest import MODELS
from vesselbench.data.read import load_example
from vesselbench.training.engine import Engine


@pytest.mark.parametrize("model", MODELS)
def bench_predict(benchmark, note, recipe, dataset, catalogue, device, model):
    chosen = recipe(model, "train.zero_stage=0")
    engine = Engine.build(chosen, dataset.task, catalogue, device)
    examples = [load_example(sample) for sample in dataset.of("test")[:4]]
    benchmark.pedantic(engine.predict, args=(examples,), rounds=5, warmup_rounds=2)
    engine.close()
    note(len(examples), model=model)
