"""SAM 2's image encoder with forward passes of our own: equal to transformers' to the bit, and leaner.

(But for the two upper maps of a frozen encoder: see `sam2.merges`.) transformers 5.23 computes an attention matrix over
the heads in every block that it throws away, and position codes that only SAM's memory reads, and asks its
configuration in every layer. The modules stay those of transformers, and with them the names and initial values of all
parameters; only their classes are exchanged. Architecture: Ryali et al. 2023 (Hiera) and Ravi et al. 2024 (SAM 2).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.sam2.modeling_sam2 import (
    Sam2HieraDetModel,
    Sam2MultiScaleAttention,
    Sam2MultiScaleBlock,
    Sam2VisionNeck,
)

from vesselbench_sa2va.direct import linear, normalised
from vesselbench_sa2va.kept import Kept


def exchange_encoder(encoder: Any) -> None:
    """Give a Sam2VisionModel's modules the forward passes below. It is not to be called as a whole any more."""
    encoder.backbone.__class__, encoder.neck.__class__ = Hiera, Pyramid
    encoder.backbone.kept = {}
    for lateral in encoder.neck.convs:
        lateral.__class__ = Lateral
    for block in encoder.backbone.blocks:
        block.__class__, block.attn.__class__ = HieraBlock, HieraAttention


def pool(x: Tensor, stride: tuple[int, int] | None) -> Tensor:
    """Maximum over squares of [B,H,W,C]; without a stride `x` itself."""
    return x if stride is None else F.max_pool2d(x.permute(0, 3, 1, 2), stride, stride).permute(0, 2, 3, 1)


class HieraAttention(Sam2MultiScaleAttention):  # type: ignore[misc]
    """Attention inside one window, its queries pooled at the beginning of a stage."""

    def forward(self, x: Tensor) -> Tensor:
        """[B,H,W,C] -> [B,H',W',C']."""
        batch, height, width, _ = x.shape
        heads = self.num_attention_heads
        query, key, value = linear(self.qkv, x).view(batch, height * width, 3, heads, -1).unbind(2)
        if self.query_stride:
            pooled = pool(query.reshape(batch, height, width, -1), self.query_stride)
            height, width = pooled.shape[1:3]
            query = pooled.reshape(batch, height * width, heads, -1)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        attended = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return linear(self.proj, attended.transpose(1, 2).reshape(batch, height, width, -1))


class HieraBlock(Sam2MultiScaleBlock):  # type: ignore[misc]
    """Pre-norm block, attending inside windows or, with a window size of 0, everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        """[B,H,W,C] -> [B,H',W',C']."""
        normed = normalised(self.layer_norm1, x)
        if self.dim != self.dim_out:
            x = pool(linear(self.proj, normed), self.query_stride)
        x = x + (self._windowed(normed, x.shape) if self.window_size else self.attn(normed))
        result: Tensor = x + self.mlp(normalised(self.layer_norm2, x))
        return result

    def _windowed(self, x: Tensor, shape: Any) -> Tensor:
        """Attention in every window of `x`, padded with zeros to whole ones; the result has the sides of `shape`."""
        batch, height, width, channels = x.shape
        side = self.window_size
        below, right = -height % side, -width % side
        if below or right:
            x = F.pad(x, (0, 0, 0, right, 0, below))
        rows, columns = (height + below) // side, (width + right) // side
        windows = x.view(batch, rows, side, columns, side, channels).transpose(2, 3).reshape(-1, side, side, channels)
        windows = self.attn(windows)
        side = windows.shape[1]
        whole = windows.view(batch, rows, columns, side, side, -1).transpose(2, 3)
        result: Tensor = whole.reshape(batch, rows * side, columns * side, -1)[:, : shape[1], : shape[2]]
        return result


class Hiera(Sam2HieraDetModel):  # type: ignore[misc]
    """The trunk."""

    kept: dict[tuple[int, ...], Kept]

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Images [B,3,S,S] to the output [B,h,w,c] of every stage."""
        x = self.patch_embed(pixels)
        size = tuple(x.shape[1:3])
        places = self.kept.setdefault(size, Kept())
        # The convolution puts channels first in memory: left so, every addition and norm of the first stage jumps.
        x = x.contiguous() + places.get([self.pos_embed, self.pos_embed_window], lambda: self._get_pos_embed(size))
        stages = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.stage_ends:
                stages.append(x)
        return stages


class Lateral(nn.Conv2d):
    """A 1x1 convolution on the way from a stage to the pyramid, which can also say what it is."""

    def forward(self, x: Tensor | None) -> Any:
        """[B,in,h,w] -> [B,out,h,w]; of None its weights [out,in] and biases [out], to be multiplied with those of the
        layer that follows. (Asked by a call, ZeRO-3 gathers them; copied, as it takes them back after the call.)"""
        if x is not None:
            return super().forward(x)
        assert self.bias is not None
        return self.weight.flatten(1).clone(), self.bias.clone()


class Pyramid(Sam2VisionNeck):  # type: ignore[misc]
    """The feature pyramid, without position codes."""

    def forward(self, stages: list[Tensor], finest: int = 0) -> list[Tensor]:
        """Outputs of the trunk's stages to maps [B,width,h,w], high to low resolution, from level `finest` on, the
        coarsest left out."""
        last = len(stages) - 1
        maps: list[Tensor] = []
        for level in range(last, finest - 1, -1):
            lateral = self.convs[last - level](stages[level].permute(0, 3, 1, 2))
            if level in self.fpn_top_down_levels and level < last:
                above = F.interpolate(maps[0].float(), scale_factor=2.0, mode="nearest").to(lateral.dtype)
                lateral = lateral + above
            maps.insert(0, lateral)
        return maps[:-1]
