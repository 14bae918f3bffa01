"""config.json as the released Sa2VA code reads it, made from the dimensions of our module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vesselbench_sa2va.release import has_language, read_config
from vesselbench_sa2va.sizes import SamShape, Shape, TokenIds

AUTO_MAP = {
    "AutoConfig": "configuration_sa2va_chat.Sa2VAChatConfig",
    "AutoModel": "modeling_sa2va_chat.Sa2VAChatModel",
    "AutoModelForCausalLM": "modeling_sa2va_chat.Sa2VAChatModel",
}
"""Names of the released classes; their Python files come with a released model."""


def base_config(bases: Sequence[Path]) -> dict[str, Any]:
    """The config.json of the first folder that names a language model; empty when there is none."""
    folders = [path for path in bases if path.is_dir() and has_language(path)]
    return read_config(folders[0]) if folders else {}


def released_config(shape: Shape, dtype: str, ids: Mapping[str, int | None], base: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a released Sa2VA model of `shape`.

    `dtype` is the type of the weights, such as float32; `ids` are those of the tokens that end and fill a text
    (`eos_token_id`, `pad_token_id`, `bos_token_id`). What `base` says beyond that of the two networks stays; other keys
    stay where the base is a Sa2VA model itself. A model whose SAM 2 is not Hiera large, or whose token ids are not the
    released ones, gets `sam2_config` and `tokens`: this plugin reads them, the released code does not.
    """
    kept = dict(base) if base.get("model_type") == "sa2va_chat" else {}
    return {
        **kept,
        "architectures": ["Sa2VAChatModel"],
        "auto_map": AUTO_MAP,
        "model_type": "sa2va_chat",
        "torch_dtype": dtype,
        "template": shape.template,
        "hidden_size": shape.language.hidden,
        "downsample_ratio": 0.5,
        "ps_version": "v2",
        "select_layer": -1,
        "force_image_size": shape.vision.tile,
        "dynamic_image_size": True,
        "use_thumbnail": True,
        "min_dynamic_patch": 1,
        "max_dynamic_patch": shape.max_tiles,
        "pad2square": False,
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
        "tie_word_embeddings": False,
        "vision_config": {**base.get("vision_config", {}), **_vision(shape), "torch_dtype": dtype},
        "llm_config": {**ids, **base.get("llm_config", {}), **_language(shape), "torch_dtype": dtype},
        **({} if shape.sam == SamShape() else {"sam2_config": _sam(shape.sam)}),
        **({} if shape.tokens == TokenIds() else {"tokens": _tokens(shape)}),
    }


def _vision(shape: Shape) -> dict[str, Any]:
    vision = shape.vision
    return {
        "architectures": ["InternVisionModel"],
        "model_type": "intern_vit_6b",
        "hidden_size": vision.hidden,
        "num_hidden_layers": vision.layers,
        "num_attention_heads": vision.heads,
        "intermediate_size": vision.mlp,
        "image_size": vision.tile,
        "patch_size": vision.patch,
        "num_channels": 3,
        "qkv_bias": vision.qkv_bias,
        "qk_normalization": False,
        "norm_type": "layer_norm",
        "layer_norm_eps": vision.eps,
        "hidden_act": "gelu",
        "drop_path_rate": 0.0,
    }


def _language(shape: Shape) -> dict[str, Any]:
    language = shape.language
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": language.hidden,
        "num_hidden_layers": language.layers,
        "num_attention_heads": language.heads,
        "num_key_value_heads": language.kv_heads,
        "intermediate_size": language.mlp,
        "vocab_size": language.vocabulary,
        "max_position_embeddings": language.positions,
        "rope_theta": language.rope_theta,
        "rms_norm_eps": language.eps,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
    }


def _sam(sam: SamShape) -> dict[str, Any]:
    return {
        "image_size": sam.image,
        "embed_dim": sam.embed,
        "num_heads": sam.heads,
        "stages": list(sam.stages),
        "window_spec": list(sam.windows),
        "global_att_blocks": list(sam.global_blocks),
        "bkg": list(sam.background),
        "d_model": sam.width,
        "mlp_dim": sam.decoder_mlp,
        "num_heads_decoder": sam.decoder_heads,
        "attention_downsample_rate": sam.decoder_downsample,
        "iou_hidden": sam.iou_hidden,
        "mask_in_chans": sam.mask_channels,
        "fpn_top_down_levels": list(sam.top_down),
    }


def _tokens(shape: Shape) -> dict[str, int]:
    return {"img_context": shape.tokens.image, "seg": shape.tokens.seg}
