"""Tensors under their official names, as the networks look at them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

WRAPPED = "mllm.model.language_model.base_model.model."


@dataclass(frozen=True)
class Weights:
    """Those tensors whose names begin with `prefix`. `scaling` multiplies the output of LoRA adapters (alpha / r)."""

    tensors: dict[str, Tensor]
    prefix: str = ""
    scaling: float = 0.0

    def at(self, *parts: object) -> Weights:
        """The part of a network."""
        return replace(self, prefix=self.prefix + "".join(f"{part}." for part in parts))

    def has(self, name: str) -> bool:
        return self.prefix + name in self.tensors

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[self.prefix + name]

    def linear(self, x: Tensor) -> Tensor:
        """A linear layer, with the product of its adapter's two factors behind it when it has one."""
        result = F.linear(x, self["weight"], self["bias"] if self.has("bias") else None)
        if self.has("lora_A.default.weight"):
            inner = F.linear(x, self["lora_A.default.weight"])
            result = result + F.linear(inner, self["lora_B.default.weight"]) * self.scaling
        return result

    def layer_norm(self, x: Tensor, eps: float) -> Tensor:
        """Over the last axis."""
        return F.layer_norm(x, x.shape[-1:], self["weight"], self["bias"], eps)

    def conv(self, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        return F.conv2d(x, self["weight"], self["bias"], stride, padding)


def with_checkpoint(base: dict[str, Tensor], trained: dict[str, Tensor]) -> dict[str, Tensor]:
    """A base with an official training checkpoint on it: replaced are trained copies, added are the LoRA factors."""
    found = dict(base)
    for key, tensor in trained.items():
        if key.startswith(WRAPPED):
            name = "language_model." + key.removeprefix(WRAPPED).replace(".modules_to_save.default.", ".")
        else:
            name = key.removeprefix("mllm.model.")
        assert name in base or ".lora_" in name, key
        found[name] = tensor
    return found


@torch.no_grad()
def merged(tensors: dict[str, Tensor], scaling: float) -> dict[str, Tensor]:
    """Every adapter folded into its layer: W + scaling * B A."""
    found = {name: tensor for name, tensor in tensors.items() if ".lora_" not in name}
    for name, factor in tensors.items():
        if ".lora_A." in name:
            product = tensors[name.replace(".lora_A.", ".lora_B.")] @ factor
            layer = name.partition(".lora_A.")[0] + ".weight"
            found[layer] = found[layer] + product * scaling
    return found
