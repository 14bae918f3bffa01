"""Images per second of the default metrics at the phantom's size and at 1024 x 1024."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vesselbench.data.read import load_example
from vesselbench.evaluation.score import score
from vesselbench.types import Prediction


@pytest.mark.parametrize("repeat", [1, 8], ids=["128px", "1024px"])
def bench_metrics(benchmark, note, recipe, dataset, catalogue, repeat):
    metrics = [catalogue.metrics[name] for name in recipe("unet").evaluation.metrics]
    example = load_example(dataset.of("test")[0])
    mask, image = np.tile(example.mask, (repeat, repeat)), np.tile(example.image, (repeat, repeat, 1))
    example = replace(example, image=image, mask=mask)
    prediction = Prediction(example.sample.id, np.roll(mask, 1, axis=0).astype(np.float32))
    benchmark.pedantic(score, args=(prediction, example, metrics), rounds=9, warmup_rounds=2)
    note(1, metrics=[metric.name for metric in metrics], pixels=mask.size)
