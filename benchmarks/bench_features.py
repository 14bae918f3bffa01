"""What ``train.cache_features`` saves of a step of Sa2VA with frozen towers: rounds without and with it alternate."""

from __future__ import annotations

from benchmarks.bench_overhead import STEADY, harness_steps, measure
from vesselbench.config import AugmentConfig
from vesselbench.training.engine import Engine
from vesselbench.training.features import prepare_features

STILL = [f"train.augment.{key}=0" for key in AugmentConfig.model_fields if key != "crop"] + ["train.augment.crop=null"]


def bench_cached_features(timed, recipe, dataset, catalogue, device, tmp_path):
    engines = []
    for kept in ([], [f"train.cache_features={tmp_path}"]):
        chosen = recipe("sa2va", "model.freeze=official", "train.zero_stage=0", *STEADY, *STILL, *kept)
        engine = Engine.build(chosen, dataset.task, catalogue, device)
        prepare_features(engine, chosen, catalogue, dataset.of("train"))
        engines.append(engine)
    measure(timed, *(harness_steps(engine, dataset) for engine in engines), chosen.train.batch_size, model="sa2va")
    for engine in engines:
        engine.close()
