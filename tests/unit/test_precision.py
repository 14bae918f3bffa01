from __future__ import annotations

import pytest
import torch

from vesselbench.data.read import load_example
from vesselbench.evaluation.predict import Predictor
from vesselbench.plugins import Catalogue, Table
from vesselbench.precision import arithmetic_lines, arithmetic_of, casting, weight_type
from vesselbench.recipes import validate_recipe
from vesselbench.training.engine import Engine

CPU = torch.device("cpu")


class BatchNormed:
    """The UNet with batch instead of instance norm."""

    name = "batch_normed"

    def __init__(self, unet) -> None:
        self.unet, self.Config, self.collator = unet, unet.Config, unet.collator

    def build(self, config, task):
        module = self.unet.build(config, task)
        for parent in list(module.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, torch.nn.InstanceNorm2d):
                    setattr(parent, name, torch.nn.BatchNorm2d(child.num_features))
        return module


@pytest.fixture
def with_batch_norm(catalogue) -> Catalogue:
    models: Table = Table("model")
    models.add("test", BatchNormed(catalogue.models["unet"]))
    return Catalogue(models, catalogue.datasets, catalogue.metrics, catalogue.trackers, plugins=())


def test_batch_norm_turns_bf16_into_autocast_and_nothing_else_does():
    normed, plain = torch.nn.Sequential(torch.nn.BatchNorm2d(2)), torch.nn.Conv2d(1, 1, 1)
    assert arithmetic_of(normed, "bf16") == "autocast"
    assert arithmetic_of(plain, "bf16") == "bf16"
    assert arithmetic_of(normed, "fp32") == "fp32"
    assert "autocast here" in arithmetic_lines("bf16", "autocast")[0]
    assert arithmetic_lines("bf16", "bf16") == []
    assert weight_type("autocast") == torch.float32


def test_autocast_multiplies_in_bfloat16_and_holds_float32():
    layer = torch.nn.Linear(4, 4)
    with casting("autocast", CPU):
        assert layer(torch.zeros(1, 4)).dtype == torch.bfloat16
    with casting("fp32", CPU):
        assert layer(torch.zeros(1, 4)).dtype == torch.float32


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_net_with_batch_norm_trains_when_bf16_is_asked_for_and_predicts_as_it_trained(
    stage, with_batch_norm, dataset, device
):
    def build(precision: str) -> tuple[Engine, list[float]]:
        train = {"steps": 3, "batch_size": 2, "device": "cpu", "zero_stage": stage, "precision": precision}
        values = {"name": "x", "model": {"name": "batch_normed", "channels": [4, 8]}, "train": train}
        recipe = validate_recipe(values, with_batch_norm)
        engine = Engine.build(recipe, dataset.task, with_batch_norm, device)
        batches = engine.train_batches(dataset.of("train"))
        return engine, [float(engine.train_step(micro)["loss"]) for _, micro in batches]

    exact, exact_losses = build("fp32")
    exact.close()
    engine, losses = build("bf16")
    assert engine.arithmetic == "autocast"
    assert losses == pytest.approx(exact_losses, rel=0.02)
    assert losses != exact_losses
    norm = next(part for part in engine.module.modules() if isinstance(part, torch.nn.BatchNorm2d))
    assert norm.running_mean.dtype == torch.float32
    assert norm.running_mean.any()
    example = load_example(dataset.of("val")[0])
    (trained,) = engine.predict([example])
    if stage < 3:  # at stage 3 the module itself is empty
        plain = Predictor(engine.module.eval(), engine.collate, CPU, "autocast", "")
        assert abs(plain([example])[0].probability - trained.probability).max() < 1e-6
    engine.close()
