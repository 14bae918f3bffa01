"""SAM 2's prompt encoder, as far as a [SEG] state needs it, and its mask decoder."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.parity.reference.weights import Weights

Config = dict[str, Any]


class Decoded(NamedTuple):
    """Of N objects: candidates [N,3,h,w], their scores [N,3], the object's score [N,1]."""

    masks: Tensor
    iou: Tensor
    score: Tensor


def decode(w: Weights, config: Config, maps: list[Tensor], prompts: Tensor) -> Decoded:
    """One mask prompt [N,d] per row of the maps [N,...] (high to low resolution, the upper two as the decoder's own
    convolutions left them).

    The prompt is the third sparse token, behind two that are no points; there is no mask prompt and no memory.
    """
    encoder, decoder = w.at("sam_prompt_encoder"), w.at("sam_mask_decoder")
    objects, heads = len(prompts), config["num_heads_decoder"]
    nothing = encoder["not_a_point_embed.weight"].expand(objects, 2, -1)
    own = [decoder[f"{name}.weight"] for name in ("obj_score_token", "iou_token", "mask_tokens")]
    tokens = torch.cat([torch.cat(own).expand(objects, -1, -1), nothing, prompts[:, None]], 1)
    lowest = maps[2] + w["no_mem_embed"].view(1, -1, 1, 1)
    image = lowest + encoder["no_mask_embed.weight"].view(1, -1, 1, 1)
    places = image_positions(encoder["pe_layer.positional_encoding_gaussian_matrix"], image.shape[-1])
    states, pixels = _two_way(decoder.at("transformer"), tokens, image.flatten(2).transpose(1, 2), places, heads)
    upscaled = _upscale(decoder, pixels.transpose(1, 2).view_as(image), maps)
    masks_at = decoder["mask_tokens.weight"].shape[0]
    hyper = decoder.at("output_hypernetworks_mlps")
    rows = torch.stack([_mlp(hyper.at(k), states[:, 2 + k]) for k in range(masks_at)], 1)
    masks = (rows @ upscaled.flatten(2)).view(objects, masks_at, *upscaled.shape[-2:])
    iou = _mlp(decoder.at("iou_prediction_head"), states[:, 1]).sigmoid()
    return Decoded(masks[:, 1:], iou[:, 1:], _mlp(decoder.at("pred_obj_score_head"), states[:, 0]))


def image_positions(matrix: Tensor, side: int) -> Tensor:
    """[side*side,d]: sines and cosines of random frequencies (Tancik et al. 2020) of the cells' centres, x before y."""
    centre = (torch.arange(side, dtype=matrix.dtype) + 0.5) / side
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    angle = 2 * math.pi * ((2 * torch.stack([x, y], -1) - 1) @ matrix)
    return torch.cat([angle.sin(), angle.cos()], -1).flatten(0, 1)


def _upscale(w: Weights, image: Tensor, maps: list[Tensor]) -> Tensor:
    """To a quarter of the image's side; the upper maps are added on the way."""
    first, norm, second = (w.at("output_upscaling", place) for place in (0, 1, 3))
    x = F.conv_transpose2d(image, first["weight"], first["bias"], stride=2) + maps[1]
    x = F.gelu(norm.layer_norm(x.permute(0, 2, 3, 1), 1e-6).permute(0, 3, 1, 2))
    return F.gelu(F.conv_transpose2d(x, second["weight"], second["bias"], stride=2) + maps[0])


def _mlp(w: Weights, x: Tensor) -> Tensor:
    """Three linear layers with ReLU between."""
    for index in (0, 1):
        x = F.relu(w.at("layers", index).linear(x))
    return w.at("layers", 2).linear(x)


def _two_way(w: Weights, tokens: Tensor, image: Tensor, places: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Tokens [N,T,d] and image [N,P,d] attend to each other (Kirillov et al. 2023). The tokens as they came in are
    their own position code."""
    states, pixels = tokens, image
    for index in (0, 1):
        layer = w.at("layers", index)
        attended = states if index == 0 else states + tokens
        added = _attend(layer.at("self_attn"), attended, attended, states, heads)
        states = layer.at("norm1").layer_norm(added if index == 0 else states + added, 1e-5)
        added = _attend(layer.at("cross_attn_token_to_image"), states + tokens, pixels + places, pixels, heads)
        states = layer.at("norm2").layer_norm(states + added, 1e-5)
        inner = F.relu(layer.at("mlp", "layers", 0).linear(states))
        states = layer.at("norm3").layer_norm(states + layer.at("mlp", "layers", 1).linear(inner), 1e-5)
        added = _attend(layer.at("cross_attn_image_to_token"), pixels + places, states + tokens, states, heads)
        pixels = layer.at("norm4").layer_norm(pixels + added, 1e-5)
    added = _attend(w.at("final_attn_token_to_image"), states + tokens, pixels + places, pixels, heads)
    return w.at("norm_final_attn").layer_norm(states + added, 1e-5), pixels


def _attend(w: Weights, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    def split(name: str, x: Tensor) -> Tensor:
        return w.at(name).linear(x).unflatten(-1, (heads, -1)).transpose(1, 2)

    attended = F.scaled_dot_product_attention(split("q_proj", query), split("k_proj", key), split("v_proj", value))
    return w.at("out_proj").linear(attended.transpose(1, 2).flatten(2))
