"""The LoRA layer's own forward pass, against peft's."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from torch import Tensor, nn

from vesselbench_sa2va.lowrank import LoraLinear, exchange_lora


@pytest.fixture(params=[True, False], ids=["bias", "no bias"])
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """Two equal layers from 12 to 20 channels: peft's and the exchanged one."""
    settings = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["0"])
    model = get_peft_model(nn.Sequential(nn.Linear(12, 20, bias=request.param)), settings)
    layer = model.base_model.model[0]
    nn.init.normal_(layer.lora_B["default"].weight)
    own = deepcopy(model)
    exchange_lora(own)
    return layer, own.base_model.model[0]


def _results(layer: Any, x: Tensor) -> list[Tensor]:
    x = x.clone().requires_grad_()
    found = layer(x)
    found.square().sum().backward()
    factors = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    return [found.detach(), x.grad, *(factor.grad for factor in factors)]


@pytest.mark.parametrize("shape", [(5, 12), (2, 7, 12), (2, 3, 4, 12)])
def test_numbers_and_gradients_are_pefts(pair: tuple[Any, Any], shape: tuple[int, ...]) -> None:
    peft, own = pair
    assert (type(peft), type(own)) == (Linear, LoraLinear)
    x = torch.randn(shape)
    for ours, theirs in zip(_results(own, x), _results(peft, x), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    assert own.base_layer.weight.grad is None


def test_dropout_drops_inputs_of_the_adapter_in_training_alone(pair: tuple[Any, Any]) -> None:
    _, own = pair
    own.lora_dropout["default"] = nn.Dropout(0.5)
    x = torch.randn(3, 12)
    assert not torch.equal(own(x), own(x))
    own.eval()
    assert torch.equal(own(x), own(x))


def test_merged_switched_off_or_in_other_types_it_is_pefts_own(pair: tuple[Any, Any]) -> None:
    peft, own = pair
    x = torch.randn(3, 12)
    for name, values in (("merge", ()), ("unmerge", ()), ("enable_adapters", (False,))):
        getattr(peft, name)(*values)
        getattr(own, name)(*values)
        assert torch.equal(own(x), peft(x))
    peft.enable_adapters(True)
    own.enable_adapters(True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(own(x), peft(x))
    peft.base_layer.bfloat16()
    own.base_layer.bfloat16()
    assert torch.equal(own(x.bfloat16()), peft(x.bfloat16()))
