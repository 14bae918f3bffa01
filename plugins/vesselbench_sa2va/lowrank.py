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
        if args or options or not self._is_plain(x):
            whole: Tensor = super().forward(x, *args, **options)
            return whole
        base, rows = self.base_layer, x.flatten(0, -2)
        low = self.lora_A["default"].weight
        inner = F.linear(self.lora_dropout["default"](rows), low)
        outer = F.linear(rows, base.weight, base.bias)
        outer = torch.addmm(outer, inner, self.lora_B["default"].weight.t(), alpha=self.scaling["default"])
        return outer.view(*x.shape[:-1], outer.shape[1])

    def _is_plain(self, x: Tensor) -> bool:
        if self.merged or self.disable_adapters or type(self.base_layer) is not nn.Linear:
            return False
        weights = self.base_layer.weight, self.lora_A["default"].weight, self.lora_B["default"].weight
        if any(weight.ndim != 2 or weight.dtype != x.dtype for weight in weights):  # one axis: split by ZeRO-3
            return False
        return len(self.lora_A) == 1 and not torch.is_autocast_enabled(x.device.type)
