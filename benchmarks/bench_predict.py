"""Images per second of a prediction, from files to probability maps, for every model; `frangi` with settings named."""

from __future__ import annotations

import time

import pytest

from benchmarks.conftest import TRAINED
from vesselbench.data.read import load_example
from vesselbench.evaluation.predict import Predictor
from vesselbench.model import build_model
from vesselbench.recipes import model_settings

IMAGES = 2
UNTRAINED = {"frangi": ("model.channel=green", "model.dark=true", "model.sigmas=[2,3,4]")}
"""Models without training: what their validation set would choose."""


@pytest.mark.parametrize("model", [*TRAINED, *UNTRAINED])
def bench_predict(timed, recipe, dataset, catalogue, device, model):
    chosen = recipe(model, *UNTRAINED.get(model, ()))
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
