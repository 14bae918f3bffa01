"""How the weights come in: which way is taken, and that it makes no difference to them."""

from __future__ import annotations

import pytest
import torch

from tests.base_folder import write_base
from vesselbench import UserError, sharding
from vesselbench.config import TrainConfig
from vesselbench.recipes import validate_recipe
from vesselbench.training import initial
from vesselbench.training.engine import Engine, import_deepspeed
from vesselbench.training.memory import LARGE
from vesselbench.training.optimizer import param_groups


def recipe(catalogue, model: dict, **train: object):
    settings = {"steps": 1, "batch_size": 1, "device": "cpu", "zero_stage": 3, **train}
    return validate_recipe({"name": "x", "model": model, "train": settings}, catalogue)


def meta(parameters: int) -> torch.nn.Module:
    return torch.nn.Linear(parameters, 1, bias=False, device="meta")


def test_auto_takes_stage_0_where_it_fits():
    assert initial.choose_stage(torch.nn.Linear(4, 4), TrainConfig(zero_stage="auto", device="cpu")) == 0
    assert initial.choose_stage(torch.nn.Linear(4, 4), TrainConfig(zero_stage=3, device="cpu")) == 3


def test_auto_splits_large_models_on_several_processes_at_stage_3_only(monkeypatch):
    auto, large, small = TrainConfig(), meta(LARGE // 4 + 1), meta(LARGE // 4)
    assert not initial.wants_split(large, auto, 3)
    monkeypatch.setattr(initial.distributed, "world", lambda: 2)
    assert initial.wants_split(large, auto, 3)
    assert not initial.wants_split(small, auto, 3)
    assert not initial.wants_split(large, auto, 2)
    assert not initial.wants_split(large, TrainConfig(init="plain"), 3)
    assert not initial.wants_split(large, TrainConfig(precision="bf16"), 3), "half the bytes"
    assert initial.wants_split(small, TrainConfig(init="sharded"), 3)


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_sharded_below_stage_3_is_refused(stage):
    with pytest.raises(UserError, match=f"at ZeRO stage {stage} every process holds the whole model"):
        initial.wants_split(meta(4), TrainConfig(init="sharded"), stage)


@pytest.mark.parametrize("model", [{"name": "unet", "channels": [4, 8]}, {"name": "sa2va"}])
def test_sharded_without_base_weights_is_refused(model, catalogue, dataset, device):
    import_deepspeed(device)
    with pytest.raises(UserError, match=f"train.init is sharded, but the model '{model['name']}'") as caught:
        initial.build_initial(recipe(catalogue, model, init="sharded"), dataset.task, catalogue, device)
    assert caught.value.hint == "set train.init=plain, or auto"


def sizes_by_decay(engine: Engine) -> list[tuple[float, int]]:
    """Weight decay and parameters of each group that the optimizer was given."""
    groups = param_groups(engine.module, TrainConfig(weight_decay=0.01))
    return [(g["weight_decay"], sum(sharding.whole_numel(p) for p in g["params"])) for g in groups]


@pytest.mark.parametrize("tokens", ["lean", "official"])
def test_one_process_gets_the_same_weights_either_way_and_decays_the_same_ones(
    tokens, catalogue, dataset, device, tmp_path
):
    base = write_base(tmp_path)
    model = {"name": "sa2va", "size": "auto", "weights": [str(base)], "lora": {"r": 4, "tokens": tokens}}
    found = {}
    for init in ("plain", "sharded"):
        engine = Engine.build(recipe(catalogue, model, init=init), dataset.task, catalogue, device)
        values = {}
        for name, parameter in engine.module.named_parameters():
            with sharding.whole([parameter]):
                values[name] = parameter.detach().clone()
        groups = sizes_by_decay(engine)
        found[init] = values, dict(engine.module.named_buffers()), groups
        assert engine.stage == 3
        engine.close()
    for plain, sharded in zip(found["plain"][:2], found["sharded"][:2], strict=True):
        assert plain.keys() == sharded.keys()
        assert all(torch.equal(plain[name], sharded[name]) for name in plain)
    assert found["plain"][2] == found["sharded"][2]
    assert len(found["plain"][2]) == 2


def test_a_model_that_leaves_a_parameter_unsettled_is_found_out(catalogue, dataset, device, monkeypatch, tmp_path):
    model = {"name": "sa2va", "size": "auto", "weights": [str(write_base(tmp_path))]}
    plugin = catalogue.models["sa2va"]
    real = type(plugin).fill
    monkeypatch.setattr(type(plugin), "fill", lambda self, module, config, settle: real(self, module, config, print))
    import_deepspeed(device)
    with pytest.raises(RuntimeError, match=r"`fill` of the model 'sa2va' left \d+ tensors unsettled"):
        initial.build_initial(recipe(catalogue, model, init="sharded"), dataset.task, catalogue, device)
