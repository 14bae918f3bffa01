"""InternVL's vision tower with forward passes of our own: transformers' numbers but for rounding, in fewer calls.

With eager attention the blocks are transformers' own, to the bit. The modules stay those of transformers, only their
classes are exchanged (see `hiera`). Architecture: Chen et al. 2023 (InternVL).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.internvl.modeling_internvl import InternVLVisionLayer, InternVLVisionModel

from vesselbench_sa2va.direct import linear, normalised


def exchange_vision(tower: Any) -> None:
    """Give an InternVLVisionModel and its layers the forward passes below.

    It must be one that `internvl_config` describes: LayerNorm, no norm of queries and keys, no dropout. What its layers
    give can no longer be recorded by transformers, nor can the InternVL model around it be called as a whole.
    """
    tower.__class__ = VisionTower
    for layer in tower.encoder.layer:
        layer.__class__ = VisionLayer


class VisionTower(InternVLVisionModel):  # type: ignore[misc]
    """The tower."""

    def forward(self, pixel_values: Tensor) -> Any:
        """Normalised tiles [T,3,t,t] to a BaseModelOutput of states [T,1+patches,C], the first that of the class."""
        x = self.embeddings(pixel_values)
        for layer in self.encoder.layer:
            x = layer(x)
        return BaseModelOutput(last_hidden_state=self.layernorm(x))


class VisionLayer(InternVLVisionLayer):  # type: ignore[misc]
    """Pre-norm block with a learned scale of each branch."""

    def forward(self, x: Tensor) -> Tensor:
        """[T,N,C] -> [T,N,C]."""
        own, parts = self._parameters, self._modules
        attention: Any = parts["attention"]
        if attention.config._attn_implementation == "eager":
            whole: Tensor = super().forward(x)
            return whole
        before: Any = parts["layernorm_before"]
        after: Any = parts["layernorm_after"]
        x = torch.addcmul(x, own["lambda_1"], attend(attention, normalised(before, x)))
        inner = parts["mlp"]._modules
        outer = linear(inner["fc2"], inner["activation_fn"](linear(inner["fc1"], normalised(after, x))))
        return torch.addcmul(x, own["lambda_2"], outer)


def attend(attention: Any, x: Tensor) -> Tensor:
    """Multi-head attention of [T,N,C] to itself: [T,N,C]."""
    parts, shape = attention._modules, (*x.shape[:2], attention.num_heads, attention.head_dim)
    query, key, value = (linear(parts[name], x).view(shape).transpose(1, 2) for name in ("q_proj", "k_proj", "v_proj"))
    attended = F.scaled_dot_product_attention(query, key, value, scale=attention.scale)
    return linear(parts["projection_layer"], attended.transpose(1, 2).flatten(2))
