"""Official key names and ours, both ways.

"Ours" are the names of `Sa2VAModule` without what peft puts between (`plain`): ``vlm.`` + a name of transformers'
InternVLForConditionalGeneration, ``sam.`` + one of its Sam2Model, ``text_hidden_fcs.``. "Official" are the keys of a
released Sa2VA checkpoint; those of InternVL3 and of SAM 2's own file are parts of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

SAM = "grounding_encoder.sam2_model."
Rules = tuple[tuple[re.Pattern[str], str], ...]


@dataclass(frozen=True)
class Piece:
    """One of our tensors in terms of stored ones: of `keys`, joined along the first axis, the part-th of `parts`."""

    keys: tuple[str, ...]
    part: int = 0
    parts: int = 1


def _rules(*pairs: tuple[str, str]) -> Rules:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in pairs)


VLM_RULES = _rules(
    (r"^model\.vision_tower\.", "vision_model."),
    (r"^model\.language_model\.", "language_model.model."),
    (r"^lm_head\.", "language_model.lm_head."),
    (r"^model\.multi_modal_projector\.layer_norm\.", "mlp1.0."),
    (r"^model\.multi_modal_projector\.linear_1\.", "mlp1.1."),
    (r"^model\.multi_modal_projector\.linear_2\.", "mlp1.3."),
    (r"^(vision_model\.)embeddings\.cls_token$", r"\1embeddings.class_embedding"),
    (r"^(vision_model\.)embeddings\.position_embeddings$", r"\1embeddings.position_embedding"),
    (r"^(vision_model\.)embeddings\.patch_embeddings\.projection\.", r"\1embeddings.patch_embedding."),
    (r"^(vision_model\.)encoder\.layer\.", r"\1encoder.layers."),
    (r"^(vision_model\..*)\.lambda_([12])$", r"\1.ls\2"),
    (r"^(vision_model\..*)\.layernorm_before\.", r"\1.norm1."),
    (r"^(vision_model\..*)\.layernorm_after\.", r"\1.norm2."),
    (r"^(vision_model\..*)\.attention\.projection_layer\.", r"\1.attn.proj."),
)
SAM_RULES = _rules(
    (r"^no_memory_embedding$", "no_mem_embed"),
    (r"^(prompt_encoder\.shared_embedding|shared_image_embedding)\.positional_embedding$",
     "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
    (r"^vision_encoder\.neck\.convs\.(\d+)\.", r"image_encoder.neck.convs.\1.conv."),
    (r"^(image_encoder\.trunk\.)patch_embed\.projection\.", r"\1patch_embed.proj."),
    (r"^(image_encoder\.trunk\.blocks\.\d+)\.layer_norm([12])\.", r"\1.norm\2."),
    (r"^(image_encoder\.trunk\.blocks\.\d+)\.mlp\.proj_in\.", r"\1.mlp.layers.0."),
    (r"^(image_encoder\.trunk\.blocks\.\d+)\.mlp\.proj_out\.", r"\1.mlp.layers.1."),
    (r"^prompt_encoder\.", "sam_prompt_encoder."),
    (r"^(sam_prompt_encoder)\.mask_embed\.conv1\.", r"\1.mask_downscaling.0."),
    (r"^(sam_prompt_encoder)\.mask_embed\.layer_norm1\.", r"\1.mask_downscaling.1."),
    (r"^(sam_prompt_encoder)\.mask_embed\.conv2\.", r"\1.mask_downscaling.3."),
    (r"^(sam_prompt_encoder)\.mask_embed\.layer_norm2\.", r"\1.mask_downscaling.4."),
    (r"^(sam_prompt_encoder)\.mask_embed\.conv3\.", r"\1.mask_downscaling.6."),
    (r"^mask_decoder\.", "sam_mask_decoder."),
    (r"^(sam_mask_decoder)\.upscale_conv1\.", r"\1.output_upscaling.0."),
    (r"^(sam_mask_decoder)\.upscale_layer_norm\.", r"\1.output_upscaling.1."),
    (r"^(sam_mask_decoder)\.upscale_conv2\.", r"\1.output_upscaling.3."),
    (r"^(sam_mask_decoder\.transformer\..*)\.o_proj\.", r"\1.out_proj."),
    (r"^(sam_mask_decoder\.transformer\.layers\.\d+)\.layer_norm([1-4])\.", r"\1.norm\2."),
    (r"^(sam_mask_decoder\.transformer)\.layer_norm_final_attn\.", r"\1.norm_final_attn."),
    (r"^(sam_mask_decoder\.transformer\.layers\.\d+\.mlp)\.proj_in\.", r"\1.layers.0."),
    (r"^(sam_mask_decoder\.transformer\.layers\.\d+\.mlp)\.proj_out\.", r"\1.layers.1."),
    (r"^(sam_mask_decoder\.(?:output_hypernetworks_mlps\.\d|iou_prediction_head|pred_obj_score_head))\.layers\.0\.",
     r"\1.layers.1."),
    (r"^(sam_mask_decoder\.(?:output_hypernetworks_mlps\.\d|iou_prediction_head|pred_obj_score_head))\.proj_in\.",
     r"\1.layers.0."),
    (r"^(sam_mask_decoder\.(?:output_hypernetworks_mlps\.\d|iou_prediction_head|pred_obj_score_head))\.proj_out\.",
     r"\1.layers.2."),
)  # fmt: skip
UNUSED = re.compile(
    r"^(maskmem_tpos_enc|no_mem_pos_enc|no_obj_ptr|no_obj_embed_spatial|mask_downsample\.|obj_ptr_proj\.|obj_ptr_tpos_proj\."
    r"|memory_attention\.|memory_encoder\."
    r"|memory_temporal_positional_encoding|no_memory_positional_encoding|no_object_pointer|object_pointer_proj\."
    r"|temporal_positional_encoding_projection_layer\.|occlusion_spatial_embedding_parameter)"
)
"""Keys of SAM 2's memory, official and transformers' names: video only, no part of this model."""
_QKV = re.compile(r"^(vision_model\..*)\.attention\.([qkv])_proj\.")
_POINTS = 4


def plain(name: str) -> str:
    """The name of a parameter without peft's wrappers: adapters, trained copies and originals keep their last words."""
    name = name.replace("vlm.base_model.model.", "vlm.", 1)
    return name.replace(".base_layer.", ".").replace(".original_module.", ".").replace(".modules_to_save.default.", ".")


def official(name: str) -> Piece:
    """Where one of our (plain) tensors stands in a released Sa2VA checkpoint."""
    if name.startswith("sam."):
        return official_sam(name.removeprefix("sam."))
    if not name.startswith("vlm."):
        return Piece((name,))
    renamed = _apply(VLM_RULES, name.removeprefix("vlm."))
    fused = _QKV.match(renamed)
    if fused is None:
        return Piece((renamed,))
    return Piece((_QKV.sub(r"\1.attn.qkv.", renamed),), "qkv".index(fused.group(2)), 3)


def official_sam(name: str) -> Piece:
    """The same for a name of Sam2Model."""
    if name == "prompt_encoder.point_embed.weight":
        return Piece(tuple(f"{SAM}sam_prompt_encoder.point_embeddings.{i}.weight" for i in range(_POINTS)))
    return Piece((SAM + _apply(SAM_RULES, name),))


def _apply(rules: Rules, name: str) -> str:
    for pattern, replacement in rules:
        name = pattern.sub(replacement, name)
    return name


def official_keys(names: Iterable[str]) -> dict[str, list[tuple[str, int, int]]]:
    """The way back: official key -> our (name, part, parts) that make it up, in order.

    With parts > 1 the key is one of `parts` equal slices of our tensor; several entries are joined along the first
    axis. A key that two of ours share (SAM's frequencies) takes the first.
    """
    found: dict[str, list[tuple[str, int, int]]] = {}
    for name in names:
        piece = official(name)
        for index, key in enumerate(piece.keys):
            entry = (name, index, len(piece.keys))
            if piece.parts > 1:
                found.setdefault(key, []).append(entry)
                found[key].sort(key=lambda item: official(item[0]).part)
            else:
                found.setdefault(key, [entry])
    return found
