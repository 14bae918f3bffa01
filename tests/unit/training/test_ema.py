from __future__ import annotations

import pytest
import torch

from vesselbench import sharding
from vesselbench.recipes import validate_recipe
from vesselbench.training.engine import Engine
from vesselbench.training.state import States

DECAY = 0.6
LAYOUTS = [
    pytest.param({"zero_stage": stage, "precision": precision}, id=f"{stage} {precision}")
    for stage in range(4)
    for precision in ("fp32", "bf16")
]
KEPT_WHOLE = {"zero_optimization": {"stage3_param_persistence_threshold": 100_000}}
LAYOUTS.append(pytest.param({"zero_stage": 3, "deepspeed": KEPT_WHOLE}, id="3 kept whole"))


def build(catalogue, dataset, device, **train) -> Engine:
    settings = {"steps": 5, "batch_size": 2, "lr": 1e-2, "device": "cpu", "ema": DECAY, **train}
    values = {"name": "x", "model": {"name": "unet", "channels": [4, 8]}, "train": settings}
    return Engine.build(validate_recipe(values, catalogue), dataset.task, catalogue, device)


def weights(engine: Engine) -> dict[str, torch.Tensor]:
    found = {}
    for name, parameter in engine.module.named_parameters():
        with sharding.whole([parameter]):
            found[name] = parameter.detach().float().clone()
    return found


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("train", LAYOUTS)
def test_the_model_shows_the_average_of_its_weights_and_goes_on_from_the_weights(train, catalogue, dataset, device):
    engine, plain = (build(catalogue, dataset, device, **train, ema=decay) for decay in (DECAY, 0.0))
    average, losses = weights(engine), {True: [], False: []}
    for done, (_, batches) in enumerate(engine.train_batches(dataset.of("train"))):
        losses[True].append(float(engine.train_step(batches)["loss"]))
        losses[False].append(float(plain.train_step(batches)["loss"]))
        now, decay = weights(engine), min(DECAY, (1 + done) / (10 + done))
        average = {name: decay * average[name] + (1 - decay) * now[name] for name in now}
        with engine.averaged():
            shown = weights(engine)
        assert equal(weights(engine), now)
    tolerance = 1e-6 if train.get("precision") != "bf16" else 2e-2  # the optimizer's copy is finer than the model's
    for name, value in average.items():
        torch.testing.assert_close(shown[name], value, rtol=tolerance, atol=tolerance)
    assert not equal(shown, now)
    assert losses[True] == losses[False], "looking at the average changes nothing"
    engine.close()
    plain.close()


@pytest.mark.parametrize("train", [{"zero_stage": 0}, {"zero_stage": 2}, {"zero_stage": 3, "precision": "bf16"}])
def test_average_and_weights_come_back_although_a_checkpoint_holds_the_average(
    train, catalogue, dataset, device, tmp_path
):
    engine = build(catalogue, dataset, device, **train)
    for _, batches in engine.train_batches(dataset.of("train")):
        engine.train_step(batches)
    states = States()
    states.register("average", engine.average)
    with engine.averaged():  # as a checkpoint is written
        states.save(tmp_path)
        average = weights(engine)
    live = weights(engine)
    engine.close()

    again = build(catalogue, dataset, device, **train)
    states = States()
    states.register("average", again.average)
    states.restore(tmp_path)
    assert equal(weights(again), live)
    with again.averaged():
        assert equal(weights(again), average)
    again.close()
