from __future__ import annotations

import importlib
import inspect

import pytest
import torch

from vesselbench import UserError
from vesselbench.config import TrainConfig
from vesselbench.training import engine


def test_cuda_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="cuda"):
        engine.choose_device(TrainConfig(device="cuda"))
    assert engine.choose_device(TrainConfig(device="auto")) == torch.device("cpu")


def test_the_private_name_that_keeps_deepspeed_from_compiling_is_still_there():
    """Without it the first start on CPU builds an operator for half a minute (see `import_deepspeed`)."""
    backend = importlib.import_module("deepspeed.comm.torch")
    assert "deepspeed.ops.__compatible_ops__" in inspect.getsource(backend)


def test_the_name_that_keeps_deepspeed_from_sending_gradients_to_nobody_is_still_there():
    backend = importlib.import_module("deepspeed.runtime.engine")
    assert "if self.enable_backward_allreduce and" in inspect.getsource(backend)


def test_batch_norm_is_refused_on_several_processes_only(monkeypatch):
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.BatchNorm2d(1))
    engine._refuse_batch_norm(net)
    monkeypatch.setattr(engine.distributed, "world", lambda: 2)
    with pytest.raises(UserError, match="batch normalisation in 1 and 0 more"):
        engine._refuse_batch_norm(net)


def test_a_loss_that_is_not_finite_stops_with_the_sample_and_leaves_the_weights(device, catalogue, dataset):
    from vesselbench.data.loader import train_batches
    from vesselbench.recipes import validate_recipe
    from vesselbench.training.engine import Engine

    settings = {"steps": 1, "batch_size": 1, "device": "cpu", "zero_stage": 0}
    recipe = validate_recipe({"name": "x", "model": {"name": "unet", "channels": [4, 8]}, "train": settings}, catalogue)
    built = Engine.build(recipe, dataset.task, catalogue, device)
    before = {name: value.clone() for name, value in built.module.state_dict().items()}
    ((_, (batch,)),) = train_batches(dataset.of("train"), built.collate, recipe.train, 0, 1)
    batch.inputs["image"][:] = float("inf")
    with pytest.raises(UserError, match=f"not finite at samples {batch.ids[0]}"):
        built.train_step([batch])
    assert all(torch.equal(before[name], value) for name, value in built.module.state_dict().items())
    built.close()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_to_train_in_lower_precision_than_fp32_are_refused(dtype):
    net = torch.nn.Linear(2, 2).to(dtype)
    with pytest.raises(UserError, match=f"the model holds its weights in {str(dtype)[6:]}, train.precision is fp32"):
        engine._refuse_lower_precision(net, TrainConfig())
    engine._refuse_lower_precision(net, TrainConfig(precision="bf16"))
    engine._refuse_lower_precision(torch.nn.Linear(2, 2), TrainConfig())
    engine._refuse_lower_precision(net.requires_grad_(False), TrainConfig())
