from __future__ import annotations

import re

import pytest
import torch

from vesselbench import UserError
from vesselbench.config import TrainConfig
from vesselbench.recipes import validate_recipe
from vesselbench.sharding import whole_numel
from vesselbench.training.engine import Engine
from vesselbench.training.optimizer import make_optimizer, optimizer_lines, param_groups, undecayed


class Block(torch.nn.Module):
    """What transformers hold beside matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.position_embeddings = torch.nn.Parameter(torch.zeros(1, 4, 8))
        self.cls_token = torch.nn.Parameter(torch.zeros(1, 1, 8))
        self.attention = torch.nn.MultiheadAttention(8, 2)
        self.layer_scale = torch.nn.Parameter(torch.ones(8))


class NewEmbedding(torch.nn.Module):
    """Rows of new tokens, as plugins write them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(2, 8))


def a_model() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Embedding(5, 8), torch.nn.Linear(8, 8), torch.nn.LayerNorm(8))


def test_norms_biases_and_embeddings_get_no_decay():
    model = a_model()
    groups = param_groups(model, TrainConfig(weight_decay=0.1))
    decayed = [p for group in groups if group["weight_decay"] for p in group["params"]]
    assert [tuple(p.shape) for p in decayed] == [(8, 8)]
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_position_tables_tokens_and_layer_scales_get_no_decay_and_attention_does():
    model = torch.nn.ModuleDict({"block": Block(), "new": NewEmbedding(), "conv": torch.nn.Conv2d(1, 2, 3)})
    decayed = {name for name, _ in model.named_parameters()} - undecayed(model)
    assert decayed == {"block.attention.in_proj_weight", "block.attention.out_proj.weight", "conv.weight"}


def test_of_sa2va_the_matrices_decay_adapters_among_them_and_the_new_rows_of_the_embedding_do_not(catalogue):
    from vesselbench.types import Task

    plugin = catalogue.models["sa2va"]
    module = plugin.build(plugin.Config(freeze="official", loss={"points": 64}), Task(("vessel",)))
    bare = undecayed(module)
    names = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert {name for name in names if "lora_" in name}.isdisjoint(bare)
    assert "new_embedding.weight" in bare
    assert {"sam.mask_decoder.mask_tokens.weight", "sam.mask_decoder.iou_token.weight"} <= bare
    assert "text_hidden_fcs.0.weight" not in bare


def test_frozen_parameters_reach_no_optimizer():
    model = a_model()
    model[0].requires_grad_(False)
    optimizer = make_optimizer(param_groups(model, TrainConfig()), TrainConfig())
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert id(model[0].weight) not in held
    assert len(held) == 4


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(UserError, match="trainable"):
        param_groups(a_model().requires_grad_(False), TrainConfig())


def test_learning_rates_are_scaled_by_part_and_by_pattern_and_the_last_key_counts():
    train = TrainConfig(lr=1.0, lr_scale={"1": 0.5, "*bias": 2.0})
    model = a_model()
    rates = {id(p): group["lr"] for group in param_groups(model, train) for p in group["params"]}
    shown = {name: rates[id(parameter)] for name, parameter in model.named_parameters()}
    assert shown == {"0.weight": 1.0, "1.weight": 0.5, "1.bias": 2.0, "2.weight": 1.0, "2.bias": 2.0}
    lines = optimizer_lines(make_optimizer(param_groups(model, train), train), train, "9 steps")
    assert "64 (lr x 0.5, decay 0.01)" in lines[1]
    assert "16 (lr x 2, no decay)" in lines[1]


def test_a_scale_that_fits_nothing_is_refused_with_the_parts():
    with pytest.raises(UserError, match="'vision' fits no trained parameter") as caught:
        param_groups(a_model(), TrainConfig(lr_scale={"vision": 0.1}))
    assert "0, 1, 2" in caught.value.hint


def test_sgd_has_nesterovs_momentum_and_weight_decay_by_group():
    train = TrainConfig(optimizer="sgd", momentum=0.9, weight_decay=0.1)
    optimizer = make_optimizer(param_groups(a_model(), train), train)
    assert isinstance(optimizer, torch.optim.SGD)
    assert [(g["nesterov"], g["momentum"], g["weight_decay"]) for g in optimizer.param_groups] == [
        (True, 0.9, 0.1),
        (True, 0.9, 0.0),
    ]


def test_the_header_counts_whole_parameters_also_when_zero_has_split_them(catalogue, dataset, device):
    settings = {"steps": 1, "batch_size": 2, "device": "cpu", "zero_stage": 3}
    values = {"name": "x", "model": {"name": "unet", "channels": [4, 8]}, "train": settings}
    recipe = validate_recipe(values, catalogue)
    engine = Engine.build(recipe, dataset.task, catalogue, device)
    total = sum(whole_numel(parameter) for parameter in engine.module.parameters())
    line = optimizer_lines(engine.optimizer, recipe.train, "1 step")[1]
    engine.close()
    assert sum(int(number.replace(",", "")) for number in re.findall(r"([\d,]+) \(lr", line)) == total > 0
