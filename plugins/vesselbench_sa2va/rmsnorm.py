"""Qwen2's normalisation with a backward pass of our own: the same numbers forward, gradients equal but for rounding.

torch goes back through each of the five operations that the layer consists of. The layers stay those of transformers,
only their class is exchanged.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm


def exchange_norms(model: nn.Module) -> None:
    """Give the Qwen2RMSNorm layers in a model the passes below."""
    for layer in model.modules():
        if type(layer) is Qwen2RMSNorm:
            layer.__class__ = RMSNorm


class RMSNorm(Qwen2RMSNorm):  # type: ignore[misc]
    """x / sqrt(mean of x squared + eps) times a weight (Zhang and Sennrich 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        """[...,C] -> [...,C]. What is not the plain case is left to transformers: a weight that learns, or other types
        than float32."""
        weight = self.weight
        if weight.requires_grad or not weight.dtype is x.dtype is torch.float32:
            whole: Tensor = super().forward(x)
            return whole
        normed: Tensor = _Normed.apply(x, weight, self.variance_epsilon)  # type: ignore[no-untyped-call]
        return normed


class _Normed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
        normed = x * scale
        ctx.save_for_backward(normed, scale, weight)
        return weight * normed

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        normed, scale, weight = ctx.saved_tensors
        slope = slopes[0] * weight
        along = (slope * normed).mean(-1, keepdim=True)
        return slope.addcmul_(normed, along, value=-1).mul_(scale), None, None
