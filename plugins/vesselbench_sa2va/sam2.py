"""SAM 2 from transformers, and the one way in which Sa2VA prompts it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    Sam2Config,
    Sam2HieraDetConfig,
    Sam2MaskDecoderConfig,
    Sam2Model,
    Sam2PromptEncoderConfig,
    Sam2VisionConfig,
)

from vesselbench_sa2va.decoder import exchange_decoder
from vesselbench_sa2va.direct import exchange_perceptrons
from vesselbench_sa2va.hiera import exchange_encoder
from vesselbench_sa2va.kept import Kept
from vesselbench_sa2va.sizes import SamShape


def sam2_config(shape: SamShape) -> Any:
    """The transformers configuration of a SAM 2 image model."""
    heads = [shape.heads * 2**stage for stage in range(len(shape.stages))]
    sides = [shape.image // stride for stride in (4, 8, 16)]
    trunk = Sam2HieraDetConfig(
        hidden_size=shape.embed,
        num_attention_heads=shape.heads,
        image_size=[shape.image, shape.image],
        blocks_per_stage=list(shape.stages),
        embed_dim_per_stage=shape.dims,
        num_attention_heads_per_stage=heads,
        window_size_per_stage=list(shape.windows),
        global_attention_blocks=list(shape.global_blocks),
        window_positional_embedding_background_size=list(shape.background),
    )
    return Sam2Config(
        vision_config=Sam2VisionConfig(
            backbone_config=trunk,
            backbone_channel_list=shape.dims[::-1],
            backbone_feature_sizes=[[side, side] for side in sides],
            fpn_hidden_size=shape.width,
            fpn_top_down_levels=list(shape.top_down),
        ),
        prompt_encoder_config=Sam2PromptEncoderConfig(
            hidden_size=shape.width,
            image_size=shape.image,
            patch_size=16,
            mask_input_channels=shape.mask_channels,
        ),
        mask_decoder_config=Sam2MaskDecoderConfig(
            hidden_size=shape.width,
            mlp_dim=shape.decoder_mlp,
            num_attention_heads=shape.decoder_heads,
            attention_downsample_rate=shape.decoder_downsample,
            iou_head_hidden_dim=shape.iou_hidden,
            dynamic_multimask_via_stability=False,  # a single mask is token 0's, also when it is unsure
        ),
    )


def build_sam2(shape: SamShape) -> Any:
    """Sam2Model with random weights. Its parts are called one by one, as below."""
    model = Sam2Model(sam2_config(shape))
    model.kept = Kept()
    exchange_encoder(model.vision_encoder)
    exchange_decoder(model.mask_decoder)
    exchange_perceptrons(model)
    return model


FINE = 2
"""Maps above the lowest one: each is read by one 1x1 convolution of the mask decoder only."""


def merges(sam: Any, frozen: bool) -> bool:
    """Whether the pyramid's 1x1 convolutions to the upper maps are multiplied with those that read them.

    When they are frozen and nothing from below is added to them. In the large size 32 and 64 channels are computed from
    144 and 288 then, without 256 between. The numbers are the same but for rounding.
    """
    return frozen and not {*range(FINE)} & {*sam.vision_encoder.neck.fpn_top_down_levels}


def encode(sam: Any, pixels: Tensor, frozen: bool) -> list[Tensor]:
    """What the encoder makes of images [B,3,S,S], high to low resolution: [B,width,S/4,S/4], S/8 and S/16.

    When it `merges` the first two are the trunk's stages instead, [B,S/4,S/4,c] and [B,S/8,S/8,2c].
    """
    encoder = sam.vision_encoder
    with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
        stages = encoder.backbone(pixels)
        if merges(sam, frozen):
            return [*stages[:FINE], *encoder.neck(stages, FINE)]
        maps: list[Tensor] = encoder.neck(stages)
    return maps


def refine(sam: Any, maps: list[Tensor], frozen: bool) -> list[Tensor]:
    """Feature maps for the mask decoder: [B,c,S/4,S/4], [B,c,S/8,S/8], [B,width,S/16,S/16].

    The two 1x1 convolutions on the upper maps belong to the mask decoder and learn also when the encoder is frozen.
    """
    readers, upper = [sam.mask_decoder.conv_s0, sam.mask_decoder.conv_s1], maps[:FINE]
    if not merges(sam, frozen):
        return [reader(plane) for reader, plane in zip(readers, upper, strict=True)] + maps[FINE:]
    with torch.no_grad():
        stated = [lateral(None) for lateral in reversed(sam.vision_encoder.neck.convs[-FINE:])]
    return [reader(*pair) for reader, *pair in zip(readers, upper, stated, strict=True)] + maps[FINE:]


def image_maps(sam: Any, pixels: Tensor, frozen: bool) -> list[Tensor]:
    """The feature maps of images [B,3,S,S]: see `refine`."""
    return refine(sam, encode(sam, pixels, frozen), frozen)


def decode_masks(sam: Any, maps: list[Tensor], prompts: Tensor, single: bool = False) -> tuple[Tensor, Tensor]:
    """Candidate masks per prompt, K = 3 or, when `single`, 1: logits [B,n,K,S/4,S/4] and predicted IoU [B,n,K].

    `prompts` [B,n,width]: each becomes the third sparse token, after two "not a point" embeddings; no point, box,
    memory or object score takes part. (Sa2VA, section 3; checked against the official code.)
    """
    images, objects, width = prompts.shape
    first = torch.zeros((), dtype=torch.long, device=prompts.device)
    nothing = sam.prompt_encoder.not_a_point_embed(first).to(prompts.dtype).expand(images, objects, 2, width)
    dense = sam.prompt_encoder.no_mask_embed(first).view(1, -1, 1, 1)
    lowest = maps[2] + sam.no_memory_embedding.view(1, -1, 1, 1)
    frequencies = [sam.shared_image_embedding.positional_embedding]
    positions = sam.kept.get(frequencies, sam.get_image_wide_positional_embeddings).to(lowest.dtype)
    sparse = torch.cat([nothing, prompts.unsqueeze(2)], dim=2)
    logits, iou = sam.mask_decoder([*maps[:2], lowest + dense], positions, sparse, single)
    return logits, iou


def best_mask(logits: Tensor, iou: Tensor) -> Tensor:
    """Of candidates [...,3,h,w] the one with the largest predicted IoU [...,3]: [...,h,w]."""
    index = iou.argmax(dim=-1)[..., None, None, None].expand(*logits.shape[:-3], 1, *logits.shape[-2:])
    return logits.gather(-3, index).squeeze(-3)


def to_image_sizes(
    logits: Tensor, side: int, placed: Sequence[Sequence[int]], sizes: Sequence[tuple[int, int]]
) -> list[Tensor]:
    """Logits [N,h,w] to SAM's square, and from there, without the padding, to each image's (H, W): [H,W] each.

    Both steps are bilinear, as the official code does it; one step instead of two changes the mask.
    """
    squares = F.interpolate(logits[:, None], (side, side), mode="bilinear", align_corners=False)
    return [
        F.interpolate(square[None, :, :height, :width], tuple(size), mode="bilinear", align_corners=False)[0, 0]
        for square, (height, width), size in zip(squares, placed, sizes, strict=True)
    ]
