"""peft's LoRA layer with a forward pass of our own: the same numbers, fewer operations.

peft 0.21 multiplies, scales and adds in turn, on tensors of three axes, and asks for variants and devices in every
layer. The layers stay peft's, and with them names, initial values, merging and saving; only their class is exchanged.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners.lora import Linear
from torch import Tensor, nn


def exchange_lora(model: nn.Module) -> None:
    """Give peft's LoRA layers in a model the forward pass below."""
    for layer in model.modules():
        if type(layer) is Linear:
            layer.__class__ = LoraLinear


class LoraLinear(Linear):  # type: ignore[misc]
    """W x + b + alpha / r B A x (Hu et al. 2021) of one active adapter."""

    def forward(self, x: Tensor, *args: Any, **options: Any) -> Tensor:
        """[...,in] -> [...,out]. Whatever is not the plain case is left to peft: merged or switched off, weights that
        are split over the ranks now, or numbers of several types."""
        parts = self._modules  # `self.name` searches for a part: all of these took a third of a small layer's time
        base, lows, highs = parts["base_layer"], parts["lora_A"]._modules, parts["lora_B"]._modules
        usual = type(base) is nn.Linear and len(lows) == 1 and not self.merged_adapters and not self.disable_adapters
        if usual and not args and not options:
            weight, bias = base._parameters["weight"], base._parameters["bias"]
            low, high = lows["default"]._parameters["weight"], highs["default"]._parameters["weight"]
            if _alike(x, weight, low, high):
                rows = x.flatten(0, -2)
                inner = F.linear(parts["lora_dropout"]._modules["default"](rows), low)
                outer = torch.addmm(F.linear(rows, weight, bias), inner, high.t(), alpha=self.scaling["default"])
                return outer.view(*x.shape[:-1], outer.shape[1])
        whole: Tensor = super().forward(x, *args, **options)
        return whole


def _alike(x: Tensor, weight: Tensor, low: Tensor, high: Tensor) -> bool:
    """Whether all have x's type and the weights two axes (one: split by ZeRO-3)."""
    kind = x.dtype
    if not weight.dtype is low.dtype is high.dtype is kind or not weight.ndim == low.ndim == high.ndim == 2:
        return False
    return not torch.is_autocast_enabled(x.device.type)
