"""Random weights to learn from, for a model that starts without any."""

from __future__ import annotations

import math

import torch
from torch import nn


@torch.no_grad()
def draw_weights(module: nn.Module) -> None:
    """Draw every linear and convolutional layer but the adapters anew: normal, deviation 1 / sqrt(inputs), biases 0.

    So a layer's outputs are as large as its inputs (LeCun et al. 1998, Efficient BackProp, section 4.6). transformers
    draws with a deviation of 0.02, made for the thousands of inputs of large models: at the 32 to 256 of a small one
    signals shrink by a factor of 3 to 9 in each layer, and a third of a short training passes before SAM's encoder
    learns anything.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d) and "lora_" not in name:
            # Squares of a transposed convolution do not overlap in SAM: each output has one pixel's channels as inputs.
            inputs = len(layer.weight) if isinstance(layer, nn.ConvTranspose2d) else layer.weight[0].numel()
            layer.weight.normal_(0, 1 / math.sqrt(inputs))
            if layer.bias is not None:
                layer.bias.zero_()
