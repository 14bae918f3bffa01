"""SAM 2's mask decoder with a forward pass of our own, as far as one mask prompt per object needs it.

Left out are the object's score and whichever of the masks, of token 0 or of 1 to 3, is not asked for. The modules are
those of transformers, only their classes are exchanged (see `hiera`). Architecture: Kirillov et al. 2023 (SAM) and
Ravi et al. 2024 (SAM 2).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.sam2.modeling_sam2 import Sam2Attention, Sam2MaskDecoder, Sam2TwoWayTransformer


def exchange_decoder(decoder: Any) -> None:
    """Give a Sam2MaskDecoder, its transformer and its attention layers the forward passes below."""
    decoder.__class__, decoder.transformer.__class__ = MaskDecoder, TwoWayTransformer
    decoder.conv_s0.__class__ = decoder.conv_s1.__class__ = Continued
    for module in decoder.modules():
        if isinstance(module, Sam2Attention):
            module.__class__ = Attention


class Continued(nn.Conv2d):
    """A 1x1 convolution that can take a linear layer before it into its own weights: one product for two."""

    def forward(self, x: Tensor, before: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """[B,in,h,w] -> [B,out,h,w]; with weights [in,c] and biases [in] of a layer before it, of that layer's input
        [B,h,w,c]."""
        if before is None:
            return super().forward(x)
        assert self.bias is not None
        (weight, bias), own = before, self.weight.flatten(1)
        return F.linear(x, own @ weight, torch.addmv(self.bias, own, bias)).permute(0, 3, 1, 2).contiguous()


class Attention(Sam2Attention):  # type: ignore[misc]
    """Multi-head attention of fewer channels inside than outside."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, count: int) -> Tensor:
        """Rows [count*T,C] of `count` sets of queries, rows [count*P,C] of keys and values -> [count*T,C]."""
        shape = (count, -1, self.num_attention_heads, self.head_dim)
        queries = self.q_proj(query).view(shape).transpose(1, 2)
        keys = self.k_proj(key).view(shape).transpose(1, 2)
        values = self.v_proj(value).view(shape).transpose(1, 2)
        attended = F.scaled_dot_product_attention(queries, keys, values, scale=self.scaling)
        result: Tensor = self.o_proj(attended.transpose(1, 2).reshape(len(query), self.internal_dim))
        return result


class TwoWayTransformer(Sam2TwoWayTransformer):  # type: ignore[misc]
    """Attention of tokens to the image and of the image to tokens, in turn; all states are rows of matrices."""

    def forward(self, tokens: Tensor, image: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """States of tokens [N,T,C] and of the places of N images [N,P,C], whose positions are [P,C]: equal shapes.

        What transformers adds up twice, positions to equal states, is added up once.
        """
        count, marks = len(tokens), tokens.flatten(0, 1)
        queries, keys = marks, image.reshape(-1, image.shape[2])
        asked, placed = queries, self._placed(keys, positions, count)
        for number, block in enumerate(self.layers):
            attended = block.self_attn(asked, asked, queries, count)
            queries = block.layer_norm1(queries + attended if number else attended)
            asked = queries + marks
            queries = block.layer_norm2(queries + block.cross_attn_token_to_image(asked, placed, keys, count))
            queries = block.layer_norm3(queries + block.mlp(queries))
            asked = queries + marks
            keys = block.layer_norm4(keys + block.cross_attn_image_to_token(placed, asked, queries, count))
            placed = self._placed(keys, positions, count)
        attended = self.final_attn_token_to_image(asked, placed, keys, count)
        return self.layer_norm_final_attn(queries + attended).view(tokens.shape), keys.view(image.shape)

    @staticmethod
    def _placed(keys: Tensor, positions: Tensor, count: int) -> Tensor:
        return keys + positions if count == 1 else (keys.view(count, *positions.shape) + positions).flatten(0, 1)


class MaskDecoder(Sam2MaskDecoder):  # type: ignore[misc]
    """Two-way transformer between tokens and image, then one small network per mask."""

    def forward(self, maps: list[Tensor], positions: Tensor, sparse: Tensor, single: bool) -> tuple[Tensor, Tensor]:
        """Logits [B,n,K,S/4,S/4] and predicted IoU [B,n,K]; K is 1, the mask of token 0, when `single`, else 3.

        maps: of B images, high to low resolution, the first two as conv_s0 and conv_s1 left them, the last with the
        dense prompt added; positions [1,C,S/16,S/16]; sparse [B,n,T,C], the prompt's tokens of n objects.
        """
        images, objects = sparse.shape[:2]
        own = torch.cat([self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(images * objects, -1, -1), sparse.flatten(0, 1)], dim=1).to(own.dtype)
        fine, middle, coarse = (part.repeat_interleave(objects, 0) if objects > 1 else part for part in maps)
        places = coarse.flatten(2).transpose(1, 2)
        states, keys = self.transformer(tokens, places, positions[0].flatten(1).t())
        image = keys.transpose(1, 2).reshape(coarse.shape)
        upscaled = self.activation(self.upscale_layer_norm(self.upscale_conv1(image) + middle))
        upscaled = self.activation(self.upscale_conv2(upscaled) + fine)
        asked = range(1) if single else range(1, self.num_mask_tokens)
        rows = torch.stack([self.output_hypernetworks_mlps[k](states[:, 2 + k]) for k in asked], dim=1)
        logits = rows @ upscaled.flatten(2)
        iou = self.iou_prediction_head(states[:, 1])[:, asked.start : asked.stop]
        return logits.view(images, objects, len(asked), *upscaled.shape[2:]), iou.view(images, objects, -1)
