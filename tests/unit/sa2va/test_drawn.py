"""Random weights keep the size of a signal, and loaded ones are left alone."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import nn

from tests.base_folder import write_base
from vesselbench_sa2va.building import build
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.drawn import draw_weights


def test_outputs_are_as_large_as_inputs_in_every_kind_of_layer() -> None:
    layers = [nn.Linear(512, 512), nn.Conv2d(32, 64, 4, 4), nn.ConvTranspose2d(256, 64, 2, 2)]
    inputs = [torch.randn(400, 512), torch.randn(8, 32, 32, 32), torch.randn(8, 256, 16, 16)]
    for layer, values in zip(layers, inputs, strict=True):
        draw_weights(layer)
        assert 0.9 < float(layer(values).detach().std()) < 1.1, layer


def test_a_model_without_weights_is_drawn_by_its_widths_and_adapters_begin_at_nothing() -> None:
    module = build(Sa2VAConfig.model_validate({"lora": {"r": 4}}))
    block = module.sam.vision_encoder.backbone.blocks[0]
    assert 0.8 < float(block.attn.qkv.weight.detach().std()) * math.sqrt(block.attn.qkv.in_features) < 1.2
    adapters = {name: value for name, value in module.named_parameters() if "lora_B" in name}
    assert adapters
    assert not any(value.any() for value in adapters.values())


def test_weights_that_are_loaded_are_not_drawn(tmp_path: Path) -> None:
    config = Sa2VAConfig.model_validate({"size": "auto", "weights": [write_base(tmp_path)], "lora": {"r": 4}})
    first, second = build(config).state_dict(), build(config).state_dict()
    differing = [name for name in first if not torch.equal(first[name], second[name])]
    assert differing == [name for name in first if "lora_A" in name]
