"""Layers without the call of a module, against the modules themselves."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn
from transformers.models.sam2.modeling_sam2 import Sam2FeedForward

from vesselbench_sa2va.building import leaf_modules
from vesselbench_sa2va.direct import FeedForward, exchange_perceptrons, linear, normalised
from vesselbench_sa2va.hiera import HieraBlock
from vesselbench_sa2va.internvit import VisionLayer
from vesselbench_sa2va.qwen2 import LanguageLayer


@pytest.mark.parametrize("bias", [True, False])
def test_linear_and_normalised_are_their_modules_to_the_bit(bias: bool) -> None:
    x, layer, norm = torch.randn(2, 3, 12), nn.Linear(12, 20, bias=bias), nn.LayerNorm(12, eps=1e-3, bias=bias)
    nn.init.normal_(norm.weight)
    assert torch.equal(linear(layer, x), layer(x))
    assert torch.equal(normalised(norm, x), norm(x))


@pytest.mark.parametrize(("layers", "sigmoid"), [(2, False), (3, True), (4, False)])
def test_a_perceptron_gives_the_numbers_and_gradients_of_transformers(layers: int, sigmoid: bool) -> None:
    theirs = Sam2FeedForward(8, 12, 5, layers, activation="gelu", sigmoid_output=sigmoid)
    ours = deepcopy(theirs)
    exchange_perceptrons(ours)
    assert type(ours) is FeedForward
    x = torch.randn(3, 8)
    assert torch.equal(ours(x), theirs(x))
    for part in (ours, theirs):
        part(x).square().sum().backward()
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(own.grad, other.grad)


def test_stage_3_gathers_as_a_whole_what_reads_the_weights_of_its_layers() -> None:
    """Else they would be missing: no call gathers them."""
    assert {FeedForward, HieraBlock, LanguageLayer, VisionLayer} == set(leaf_modules())
