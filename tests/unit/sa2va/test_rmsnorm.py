"""The normalisation's own passes, against transformers'."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from vesselbench_sa2va.rmsnorm import RMSNorm, exchange_norms


@pytest.fixture
def pair() -> tuple[Any, Any]:
    """Two equal frozen layers of 12 channels: transformers' and the exchanged one."""
    layer = Qwen2RMSNorm(12, eps=1e-5).requires_grad_(False)
    layer.weight.normal_()
    own = deepcopy(layer)
    exchange_norms(own)
    assert (type(layer), type(own)) == (Qwen2RMSNorm, RMSNorm)
    return layer, own


def _results(layer: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    found = layer(x)
    (found * torch.linspace(-1, 2, found.numel()).view(found.shape)).sum().backward()
    assert x.grad is not None
    return found.detach(), x.grad


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_numbers_are_those_of_transformers_to_the_bit_and_gradients_to_rounding(
    pair: tuple[Any, Any], size: float
) -> None:
    x = size * torch.randn(2, 7, 12)
    (theirs, slope), (ours, own_slope) = (_results(layer, x) for layer in pair)
    assert torch.equal(ours, theirs)
    torch.testing.assert_close(size * own_slope, size * slope, atol=1e-6, rtol=1e-5)


def test_a_learning_weight_gets_the_gradient_that_transformers_gives(pair: tuple[Any, Any]) -> None:
    x = torch.randn(3, 12)
    for layer in pair:
        layer.weight.requires_grad_(True)
        _results(layer, x)
    assert torch.equal(pair[1].weight.grad, pair[0].weight.grad)


def test_other_types_are_computed_as_transformers_does(pair: tuple[Any, Any]) -> None:
    for kind in (torch.bfloat16, torch.float64):
        x = torch.randn(3, 12, dtype=kind)
        results = [layer.to(kind)(x) for layer in pair]
        assert results[1].dtype is kind
        assert torch.equal(results[1], results[0])
