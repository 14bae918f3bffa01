"""The dimensions that a folder of released weights states in its config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vesselbench import UserError
from vesselbench_sa2va.prompts import TEMPLATES
from vesselbench_sa2va.sizes import LanguageShape, SamShape, Shape, TokenIds, VisionShape

SUPPORTED = "supported: Sa2VA and InternVL of the kinds 2.5 and 3 whose language model is Qwen2 (InternViT-300M)"


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a folder; UserError when it is not there or no mapping."""
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{path} does not exist", "give the folder of a released model, or set model.size")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not JSON: {error}", "copy it again") from None
    if isinstance(values, dict) and {"vision_config", "text_config"} <= values.keys():
        values = _from_transformers(values)
    if not isinstance(values, dict) or not {"vision_config", "llm_config"} <= values.keys():
        raise UserError(f"{path} describes no Sa2VA or InternVL model", SUPPORTED)
    return values


def has_language(folder: Path) -> bool:
    """Whether a folder's config.json is there and names a language model (that of SAM 2 alone does not)."""
    path = folder / "config.json"
    return path.is_file() and any(
        word in path.read_text(encoding="utf-8") for word in ('"llm_config"', '"text_config"')
    )


def _from_transformers(values: dict[str, Any]) -> dict[str, Any]:
    """transformers' own configuration of InternVL in the words of the official one."""
    vision, language = dict(values["vision_config"]), dict(values["text_config"])
    for name in ("image_size", "patch_size"):
        if isinstance(vision.get(name), list):
            vision[name] = vision[name][0]
    vision |= {"qkv_bias": vision.get("attention_bias", False), "qk_normalization": vision.get("use_qk_norm", False)}
    if language.get("model_type") == "qwen2":
        language["architectures"] = ["Qwen2ForCausalLM"]
    language.setdefault("rope_theta", (language.get("rope_parameters") or {}).get("rope_theta", 1e6))
    return {"vision_config": vision, "llm_config": language, "downsample_ratio": values.get("downsample_ratio", 0.5)}


def shape_from(folder: Path) -> Shape:
    """Shape of the model in `folder`. Released files do not state SAM 2's: it is Hiera large there."""
    values, where = read_config(folder), folder / "config.json"
    vision, language = values["vision_config"], values["llm_config"]
    _refuse_other_kinds(values, where)
    try:
        tokens = _tokens(values.get("tokens"))
        return Shape(
            vision=VisionShape(
                hidden=vision["hidden_size"],
                layers=vision["num_hidden_layers"],
                heads=vision["num_attention_heads"],
                mlp=vision["intermediate_size"],
                tile=values.get("force_image_size") or vision["image_size"],
                patch=vision["patch_size"],
                eps=vision.get("layer_norm_eps", 1e-6),
                qkv_bias=vision.get("qkv_bias", True),
            ),
            language=LanguageShape(
                hidden=language["hidden_size"],
                layers=language["num_hidden_layers"],
                heads=language["num_attention_heads"],
                kv_heads=language["num_key_value_heads"],
                mlp=language["intermediate_size"],
                vocabulary=max(language["vocab_size"], max(tokens.new) + 1),
                positions=language.get("max_position_embeddings", 32768),
                rope_theta=language.get("rope_theta", 1e6),
                eps=language.get("rms_norm_eps", 1e-6),
            ),
            sam=_sam(values.get("sam2_config")),
            tokens=tokens,
            max_tiles=values.get("max_dynamic_patch", 12),
            template=values.get("template", "qwen_chat"),
        )
    except KeyError as error:
        raise UserError(f"{where} lacks {error}", "copy it again") from None


def _refuse_other_kinds(values: dict[str, Any], where: Path) -> None:
    vision, language = values["vision_config"], values["llm_config"]
    kind = (language.get("architectures") or ["none"])[0]
    if kind != "Qwen2ForCausalLM":
        raise UserError(f"{where}: the language model is {kind}", SUPPORTED)
    wanted = {
        "vision_config.qk_normalization": (vision.get("qk_normalization", False), False),
        "vision_config.norm_type": (vision.get("norm_type", "layer_norm"), "layer_norm"),
        "downsample_ratio": (values.get("downsample_ratio", 0.5), 0.5),
        "ps_version": (values.get("ps_version", "v2"), "v2"),
        "select_layer": (values.get("select_layer", -1), -1),
        "llm_config.tie_word_embeddings": (language.get("tie_word_embeddings", False), False),
    }
    for key, (found, expected) in wanted.items():
        if found != expected:
            raise UserError(f"{where}: {key} is {found!r}, only {expected!r} can be built", SUPPORTED)
    template = values.get("template", "qwen_chat")
    if template not in TEMPLATES:
        raise UserError(f"{where}: the template is {template!r}", f"supported: {', '.join(TEMPLATES)}")


def _tokens(values: dict[str, int] | None) -> TokenIds:
    """The released ids, or those that a small test model states."""
    return TokenIds() if values is None else TokenIds(values["img_context"], values["seg"], (values["seg"],))


def _sam(values: dict[str, Any] | None) -> SamShape:
    """Hiera large, or what a small test model states (in the words of SAM 2's own configuration)."""
    if values is None:
        return SamShape()
    return SamShape(
        image=values["image_size"],
        embed=values["embed_dim"],
        heads=values["num_heads"],
        stages=tuple(values["stages"]),
        windows=tuple(values["window_spec"]),
        global_blocks=tuple(values["global_att_blocks"]),
        background=(values["bkg"][0], values["bkg"][1]),
        width=values["d_model"],
        decoder_mlp=values["mlp_dim"],
        decoder_heads=values["num_heads_decoder"],
        decoder_downsample=values["attention_downsample_rate"],
        iou_hidden=values["iou_hidden"],
        mask_channels=values["mask_in_chans"],
        top_down=tuple(values["fpn_top_down_levels"]),
    )
