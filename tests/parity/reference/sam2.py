"""SAM 2's image encoder: Hiera trunk and feature pyramid."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.parity.reference.weights import Weights

Config = dict[str, Any]


def image_maps(w: Weights, config: Config, pixels: Tensor, inner: torch.dtype) -> list[Tensor]:
    """Images [B,3,S,S] to three maps [B,d,S/4,S/4], [B,d,S/8,S/8], [B,d,S/16,S/16]; the one of S/32 is dropped.

    Only the coarse levels of `fpn_top_down_levels` get the next coarser one added, enlarged in the precision `inner`.
    """
    stages = trunk(w.at("trunk"), config, pixels)
    last = len(stages) - 1
    maps: list[Tensor] = []
    above = torch.empty(0)
    for level in range(last, -1, -1):
        lateral = w.at("neck", "convs", last - level, "conv").conv(stages[level].permute(0, 3, 1, 2))
        if level in config["fpn_top_down_levels"] and level < last:
            lateral = lateral + F.interpolate(above.to(inner), scale_factor=2.0, mode="nearest").to(lateral.dtype)
        above = lateral
        maps.insert(0, lateral)
    return maps[:-1]


def trunk(w: Weights, config: Config, pixels: Tensor) -> list[Tensor]:
    """The output [B,h,w,c] of each stage. Channels and heads double with each; side lengths halve."""
    x = w.at("patch_embed", "proj").conv(pixels, stride=config["patch_stride"], padding=3).permute(0, 2, 3, 1)
    x = x + _positions(w, x.shape[1:3])
    ends = [end - 1 for end in accumulate(config["stages"])]
    found, index = [], 0
    for stage, blocks in enumerate(config["stages"]):
        for block in range(blocks):
            first = stage > 0 and block == 0
            window = 0 if index in config["global_att_blocks"] else config["window_spec"][stage - first]
            x = _block(w.at("blocks", index), x, config["num_heads"] * 2**stage, window, pool=first)
            found += [x] if index in ends else []
            index += 1
    return found


def _positions(w: Weights, size: torch.Size) -> Tensor:
    """A coarse table enlarged (bicubic) plus the table of one window, repeated."""
    whole = F.interpolate(w["pos_embed"], size=tuple(size), mode="bicubic")
    window = w["pos_embed_window"]
    return (whole + window.tile(1, 1, size[0] // window.shape[2], size[1] // window.shape[3])).permute(0, 2, 3, 1)


def _block(w: Weights, x: Tensor, heads: int, window: int, pool: bool) -> Tensor:
    """Pre-norm block; the first of a stage pools its queries 2x2 and widens its shortcut."""
    normed = w.at("norm1").layer_norm(x, 1e-6)
    shortcut = x
    if w.has("proj.weight"):
        shortcut = w.at("proj").linear(normed)
        shortcut = _pooled(shortcut) if pool else shortcut
    x = shortcut + _windowed_attention(w.at("attn"), normed, heads, window, pool, tuple(shortcut.shape[1:3]))
    inner = F.gelu(w.at("mlp", "layers", 0).linear(w.at("norm2").layer_norm(x, 1e-6)))
    return x + w.at("mlp", "layers", 1).linear(inner)


def _pooled(x: Tensor) -> Tensor:
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2, 2).permute(0, 2, 3, 1)


def _windowed_attention(w: Weights, x: Tensor, heads: int, window: int, pool: bool, size: tuple[int, ...]) -> Tensor:
    """Attention inside squares of `window` (0: everywhere) of maps padded with zeros to whole ones: [B,*size,c]."""
    batch, height, width, channels = x.shape
    if not window:
        return _attention(w, x, heads, pool)
    x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))
    rows, columns = x.shape[1] // window, x.shape[2] // window
    squares = x.view(batch, rows, window, columns, window, channels).transpose(2, 3).flatten(0, 2)
    squares = _attention(w, squares, heads, pool)
    side = squares.shape[1]
    whole = squares.view(batch, rows, columns, side, side, -1).transpose(2, 3)
    return whole.reshape(batch, rows * side, columns * side, -1)[:, : size[0], : size[1]]


def _attention(w: Weights, x: Tensor, heads: int, pool: bool) -> Tensor:
    batch, height, width, _ = x.shape
    query, key, value = w.at("qkv").linear(x).view(batch, height * width, 3, heads, -1).unbind(2)
    if pool:
        query = _pooled(query.reshape(batch, height, width, -1))
        height, width = query.shape[1:3]
        query = query.reshape(batch, height * width, heads, -1)
    attended = F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return w.at("proj").linear(attended.transpose(1, 2).reshape(batch, height, width, -1))
