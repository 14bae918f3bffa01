"""SAM 2's mask decoder with a forward pass of our own, as far as one mask prompt per object needs it.

Left out are the object's score and whichever of the masks, of token 0 or of 1 to 3, is not asked for. The modules are
those of transformers, only their classes are exchanged (see `hiera`). Architecture: Kirillov et al. 2023 (SAM) and
Ravi et al. 2024 (SAM 2).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.sam2.modeling_sam2 import Sam2Attention, Sam2MaskDecoder


def exchange_decoder(decoder: Any) -> None:
    """Give a Sam2MaskDecoder and its attention layers the forward passes below."""
    decoder.__class__ = MaskDecoder
    for module in decoder.modules():
        if isinstance(module, Sam2Attention):
            module.__class__ = Attention


class Attention(Sam2Attention):  # type: ignore[misc]
    """Multi-head attention of fewer channels inside than outside."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **_: object) -> tuple[Tensor, None]:
        """Query [B,n,T,C], key and value [B,n,P,C] (or [B*n,1,P,C]) -> [B,n,T,C]; without weights, as nobody asks."""
        images, objects = query.shape[:2]
        shape = (images * objects, -1, self.num_attention_heads, self.head_dim)
        query = self.q_proj(query).view(shape).transpose(1, 2)
        key = self.k_proj(key).view(shape).transpose(1, 2)
        value = self.v_proj(value).view(shape).transpose(1, 2)
        attended = F.scaled_dot_product_attention(query, key, value, scale=self.scaling)
        joined = attended.transpose(1, 2).reshape(images, objects, -1, self.internal_dim)
        return self.o_proj(joined), None


class MaskDecoder(Sam2MaskDecoder):  # type: ignore[misc]
    """Two-way transformer between tokens and image, then one small network per mask."""

    def forward(self, maps: list[Tensor], positions: Tensor, sparse: Tensor, single: bool) -> tuple[Tensor, Tensor]:
        """Logits [B,n,K,S/4,S/4] and predicted IoU [B,n,K]; K is 1, the mask of token 0, when `single`, else 3.

        maps: of B images, high to low resolution, the first two as conv_s0 and conv_s1 left them, the last with the
        dense prompt added; positions [1,C,S/16,S/16]; sparse [B,n,T,C], the prompt's tokens of n objects.
        """
        images, objects = sparse.shape[:2]
        own = torch.cat([self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(images, objects, -1, -1), sparse], dim=2).to(own.dtype)
        fine, middle, coarse = (part.repeat_interleave(objects, 0) if objects > 1 else part for part in maps)
        states, keys = self.transformer(tokens, coarse, positions.expand(len(coarse), -1, -1, -1), None)
        image = keys.transpose(2, 3).reshape(coarse.shape)
        upscaled = self.activation(self.upscale_layer_norm(self.upscale_conv1(image) + middle))
        upscaled = self.activation(self.upscale_conv2(upscaled) + fine)
        asked = range(1) if single else range(1, self.num_mask_tokens)
        rows = torch.stack([self.output_hypernetworks_mlps[k](states[:, :, 2 + k]) for k in asked], dim=2)
        logits = rows @ upscaled.view(images, objects, upscaled.shape[1], -1)
        iou = self.iou_prediction_head(states[:, :, 1])[..., asked.start : asked.stop]
        return logits.view(images, objects, len(asked), *upscaled.shape[2:]), iou
