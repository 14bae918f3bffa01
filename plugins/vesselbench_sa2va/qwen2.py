"""Qwen2 with forward passes of our own for whole texts: transformers' numbers but for rounding, in fewer calls.

Left to transformers are eager attention, texts that are padded on the left, and a cache of earlier tokens (an answer
that is written word by word). The modules stay those of transformers, only their classes are exchanged (see `hiera`).
Architecture: Yang et al. 2024 (Qwen2).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2Model


def exchange_language(model: Any) -> None:
    """Give a Qwen2Model and its layers the forward passes below.

    It must be one that `internvl_config` describes: no sliding window, no dropout. What its layers give can no longer
    be recorded by transformers.
    """
    model.__class__ = Language
    for layer in model.layers:
        layer.__class__ = LanguageLayer


class Language(Qwen2Model):  # type: ignore[misc]
    """The layers and the last norm."""

    def forward(self, *, inputs_embeds: Tensor, attention_mask: Tensor, **options: Any) -> Any:
        """Embeddings [B,L,C] and the mask [B,L] of what is text to a BaseModelOutputWithPast.

        States of places that are not text are undefined.
        """
        plain = options == {"use_cache": False} and self.config._attn_implementation == "sdpa"
        # Padding on the right comes later than the text, which therefore does not see it in a causal model.
        if not plain or bool((attention_mask[:, 1:] > attention_mask[:, :-1]).any()):
            return super().forward(inputs_embeds=inputs_embeds, attention_mask=attention_mask, **options)
        places = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device)[None]
        cosine, sine = self.rotary_emb(inputs_embeds, places)
        half = sine.shape[-1] // 2
        turn = cosine, torch.cat([-sine[..., :half], sine[..., half:]], -1)
        x = inputs_embeds
        for layer in self.layers:
            x = layer(x, *turn)
        return BaseModelOutputWithPast(last_hidden_state=self.norm(x))


class LanguageLayer(Qwen2DecoderLayer):  # type: ignore[misc]
    """Pre-norm block. Its parts are called past their hooks: ZeRO-3 gathers it as a whole (`building.leaf_modules`)."""

    def forward(self, x: Tensor, *turn: Tensor, **options: Any) -> Tensor:
        """[B,L,C] -> [B,L,C]; `turn` are the cosine and the signed sine [1,L,D] of the places' angles."""
        if options:
            whole: Tensor = super().forward(x, **options)
            return whole
        parts: dict[str, Any] = self._modules
        x = x + attend(parts["self_attn"], parts["input_layernorm"].forward(x), *turn)
        inner = parts["mlp"]._modules
        normed = parts["post_attention_layernorm"].forward(x)
        gate = inner["act_fn"](inner["gate_proj"].forward(normed))
        outer: Tensor = inner["down_proj"].forward(gate * inner["up_proj"].forward(normed))
        return x + outer


def attend(attention: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Causal attention of [B,L,C], several queries to a key: [B,L,C]."""
    parts, shape = attention._modules, (*x.shape[:2], -1, attention.head_dim)
    query, key = (rotate(parts[name].forward(x).view(shape), cosine, sine) for name in ("q_proj", "k_proj"))
    value = parts["v_proj"].forward(x).view(shape)
    attended = F.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        is_causal=True,
        scale=attention.scaling,
        enable_gqa=attention.num_key_value_groups > 1,
    )
    result: Tensor = parts["o_proj"].forward(attended.transpose(1, 2).flatten(2))
    return result


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary position code (Su et al. 2021) of queries or keys [B,L,h,D].

    Number i turns with number i + D/2 by the angle of `cosine` and `sine` [1,L,D], whose first half has the other sign.
    """
    rotated: Tensor = _Rotated.apply(x, cosine.unsqueeze(2), sine.unsqueeze(2))  # type: ignore[no-untyped-call]
    return rotated


class _Rotated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return (x * cosine).addcmul_(x.roll(x.shape[-1] // 2, -1), sine)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors  # back is the same turn the other way round
        slope = slopes[0]
        return (slope * cosine).addcmul_(slope.roll(slope.shape[-1] // 2, -1), sine, value=-1), None, None
