"""Layers computed without the call of a module, which takes as long as the arithmetic of a small model.

For use inside blocks that ZeRO-3 gathers as a whole (`building.leaf_modules`) only: outside them nothing else gathers
the weights of a layer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.sam2.modeling_sam2 import Sam2FeedForward


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    """What an nn.Linear makes of [...,in]: [...,out]."""
    own = layer._parameters
    weight = own["weight"]
    assert weight is not None
    return F.linear(x, weight, own["bias"])


def normalised(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    """What an nn.LayerNorm makes of [...,C]."""
    own = layer._parameters
    return torch.layer_norm(x, layer.normalized_shape, own["weight"], own["bias"], layer.eps)


def exchange_perceptrons(model: nn.Module) -> None:
    """Give the Sam2FeedForward parts of a model the forward pass below."""
    for part in model.modules():
        if type(part) is Sam2FeedForward:
            part.__class__ = FeedForward


class FeedForward(Sam2FeedForward):  # type: ignore[misc]
    """A perceptron."""

    def forward(self, x: Tensor) -> Tensor:
        """[...,in] -> [...,out]."""
        parts = self._modules
        activation = parts["activation"]
        x = activation(linear(parts["proj_in"], x))
        for layer in parts["layers"]._modules.values():
            x = activation(linear(layer, x))
        x = linear(parts["proj_out"], x)
        return x.sigmoid() if self.sigmoid_output else x
