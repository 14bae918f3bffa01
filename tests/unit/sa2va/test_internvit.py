"""The vision tower's own forward pass, against transformers'."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from transformers import InternVLVisionConfig
from transformers.models.internvl.modeling_internvl import InternVLVisionModel

from vesselbench_sa2va.internvit import VisionLayer, VisionTower, exchange_vision


def build_pair(**options: Any) -> tuple[Any, Any]:
    """Two equal towers of two layers for tiles of 28 pixels: transformers' and the exchanged one."""
    config = InternVLVisionConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        image_size=(28, 28),
        patch_size=(14, 14),
        **options,
    )
    tower = InternVLVisionModel(config)
    tower.set_attn_implementation("sdpa")
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    own = deepcopy(tower)
    exchange_vision(own)
    assert type(own) is VisionTower
    assert {type(layer) for layer in own.encoder.layer} == {VisionLayer}
    return tower, own


@pytest.mark.parametrize("biases", [True, False])
def test_states_and_gradients_are_those_of_transformers(biases: bool) -> None:
    pair = build_pair(attention_bias=biases)
    tiles = torch.randn(3, 3, 28, 28)
    theirs, ours = (tower(pixel_values=tiles).last_hidden_state for tower in pair)
    torch.testing.assert_close(ours, theirs)
    for states in (theirs, ours):
        states.square().sum().backward()
    for wanted, found in zip(pair[0].parameters(), pair[1].parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, atol=1e-4, rtol=1e-4)


def test_eager_attention_gives_the_numbers_of_transformers_to_the_bit() -> None:
    tower, own = build_pair()
    for model in (tower, own):
        model.set_attn_implementation("eager")
    tiles = torch.randn(2, 3, 28, 28)
    assert torch.equal(own(tiles).last_hidden_state, tower(tiles).last_hidden_state)


def test_bfloat16_differs_by_rounding() -> None:
    tower, own = (model.to(torch.bfloat16) for model in build_pair())
    tiles = torch.randn(2, 3, 28, 28, dtype=torch.bfloat16)
    theirs, ours = (model(pixel_values=tiles).last_hidden_state for model in (tower, own))
    assert ours.dtype is torch.bfloat16
    torch.testing.assert_close(ours, theirs, atol=0.2, rtol=0.05)
