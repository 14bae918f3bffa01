"""Images per second of a prediction, from files to probability maps, for every trained model."""

from __future__ import annotations

import time

import pytest

from benchmarks.conftest import TRAINED
from vesselbench.data.read import load_example
from vesselbench.evaluation.predict import Predictor
from vesselbench.model import build_model
from vesselbench.recipes import model_settings

IMAGES = 2


@pytest.mark.parametrize("model", TRAINED)
def bench_predict(timed, recipe, dataset, catalogue, device, model):
    chosen = recipe(model)
    plugin, config = model_settings(chosen, catalogue)
    module = build_model(chosen, dataset.task, catalogue)
    predict = Predictor.of(module, plugin.collator(config, dataset.task), device, chosen)
    read = []

    def act() -> None:
        started = time.perf_counter()
        examples = [load_example(sample) for sample in dataset.of("val")[:IMAGES]]
        read.append(time.perf_counter() - started)
        predict(examples)

    timed(act, samples=IMAGES, data=lambda: read[-1], rounds=9)
    timed.note(model=model)
