"""InternViT, the projector and Qwen2."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.parity.reference.weights import Weights

Config = dict[str, Any]


def vision_states(w: Weights, config: Config, tiles: Tensor) -> Tensor:
    """Tiles [T,3,t,t] to [T,1+patches,C]: pre-norm blocks with layer scale, no norm behind the last one."""
    patches = w.at("embeddings", "patch_embedding").conv(tiles, stride=config["patch_size"]).flatten(2).transpose(1, 2)
    cls = w["embeddings.class_embedding"].expand(len(tiles), -1, -1)
    x = torch.cat([cls, patches], 1) + w["embeddings.position_embedding"]
    eps = config["layer_norm_eps"]
    for index in range(config["num_hidden_layers"]):
        layer = w.at("encoder", "layers", index)
        attended = _vision_attention(
            layer.at("attn"), layer.at("norm1").layer_norm(x, eps), config["num_attention_heads"]
        )
        x = x + attended * layer["ls1"]
        inner = F.gelu(layer.at("mlp", "fc1").linear(layer.at("norm2").layer_norm(x, eps)))
        x = x + layer.at("mlp", "fc2").linear(inner) * layer["ls2"]
    return x


def _vision_attention(w: Weights, x: Tensor, heads: int) -> Tensor:
    batch, length, width = x.shape
    query, key, value = w.at("qkv").linear(x).view(batch, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    scores = (query * (width // heads) ** -0.5) @ key.transpose(-2, -1)
    attended = scores.softmax(-1) @ value
    return w.at("proj").linear(attended.transpose(1, 2).reshape(batch, length, width))


def visual_tokens(w: Weights, states: Tensor) -> Tensor:
    """Vision states to [T,patches/4,C']: CLS dropped, each 2x2 block folded into channels (row by row), mlp1."""
    tiles, count, width = states[:, 1:].shape
    side = int(count**0.5)
    blocks = states[:, 1:].reshape(tiles, side // 2, 2, side // 2, 2, width).permute(0, 1, 3, 2, 4, 5)
    folded = blocks.reshape(tiles, count // 4, 4 * width)
    return w.at("3").linear(F.gelu(w.at("1").linear(w.at("0").layer_norm(folded, 1e-5))))


def rms_norm(w: Weights, x: Tensor, eps: float, inner: torch.dtype) -> Tensor:
    """Normalised in the precision `inner`, multiplied with the weight in that of `x`."""
    wide = x.to(inner)
    return w["weight"] * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


def language_states(
    w: Weights, config: Config, embedded: Tensor, attention: Tensor, positions: Tensor, inner: torch.dtype
) -> list[Tensor]:
    """Hidden states [B,L,C] of embeddings: before each block and, last of all, behind the final norm.

    `inner` is the precision of the norms, the rotations and the softmax: float32 in the official code.
    """
    rotation = _rotation(config, positions, embedded.dtype, inner)
    length = embedded.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    seen = causal & attention.bool()[:, None, None]
    mask = torch.zeros(seen.shape, dtype=embedded.dtype).masked_fill(~seen, torch.finfo(embedded.dtype).min)
    x, states, eps = embedded, [], config["rms_norm_eps"]
    for index in range(config["num_hidden_layers"]):
        states.append(x)
        layer = w.at("layers", index)
        normed = rms_norm(layer.at("input_layernorm"), x, eps, inner)
        x = x + _language_attention(layer.at("self_attn"), config, normed, mask, rotation, inner)
        normed = rms_norm(layer.at("post_attention_layernorm"), x, eps, inner)
        mlp = layer.at("mlp")
        gated = F.silu(mlp.at("gate_proj").linear(normed)) * mlp.at("up_proj").linear(normed)
        x = x + mlp.at("down_proj").linear(gated)
    return [*states, rms_norm(w.at("norm"), x, eps, inner)]


def _rotation(config: Config, positions: Tensor, dtype: torch.dtype, inner: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin [B,1,L,d]: frequency theta^(-2i/d) for the channels i and i + d/2."""
    size = config["hidden_size"] // config["num_attention_heads"]
    frequency = 1.0 / config["rope_theta"] ** (torch.arange(0, size, 2, dtype=torch.int64).to(inner) / size)
    angle = positions.to(inner)[:, None, :, None] * frequency
    angle = torch.cat([angle, angle], -1)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def _rotated(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * rotation[0] + torch.cat([-second, first], -1) * rotation[1]


def _language_attention(
    w: Weights, config: Config, x: Tensor, mask: Tensor, rotation: tuple[Tensor, Tensor], inner: torch.dtype
) -> Tensor:
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    batch, length, width = x.shape
    size = width // heads
    query = w.at("q_proj").linear(x).view(batch, length, heads, size).transpose(1, 2)
    key = w.at("k_proj").linear(x).view(batch, length, groups, size).transpose(1, 2)
    value = w.at("v_proj").linear(x).view(batch, length, groups, size).transpose(1, 2)
    query, key = _rotated(query, rotation), _rotated(key, rotation)
    key, value = (part.repeat_interleave(heads // groups, 1) for part in (key, value))
    scores = query @ key.transpose(2, 3) * size**-0.5 + mask
    attended = scores.softmax(-1, dtype=inner).to(x.dtype) @ value
    return w.at("o_proj").linear(attended.transpose(1, 2).reshape(batch, length, width))
