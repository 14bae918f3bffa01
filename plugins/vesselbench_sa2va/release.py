"""The dimensions that a folder of released weights states in its config.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vesselbench import UserError
from vesselbench_sa2va.kinds import refuse_other_kinds, refuse_unequal_parts, template_of
from vesselbench_sa2va.misfit import SUPPORTED
from vesselbench_sa2va.sizes import LanguageShape, SamShape, Shape, TokenIds, VisionShape
from vesselbench_sa2va.stated import Stated, read_json

LANGUAGE = ("llm_config", "text_config")


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a folder in the words of the official one; UserError when it is not there or of another kind."""
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{path} does not exist", "give the folder of a released model, or set model.size")
    values = read_json(path)
    if isinstance(values, dict) and {"vision_config", "text_config"} <= values.keys():
        values = _from_transformers(Stated(path, values))
    if not isinstance(values, dict) or not {"vision_config", "llm_config"} <= values.keys():
        raise UserError(f"{path} describes {_kind_of(values)}, no Sa2VA or InternVL model", SUPPORTED)
    return values


def has_language(folder: Path) -> bool:
    """Whether a folder's config.json is there and names a language model (that of SAM 2 alone does not).

    Raises UserError when it is no JSON.
    """
    path = folder / "config.json"
    if not path.is_file():
        return False
    values = read_json(path)
    return isinstance(values, dict) and any(word in values for word in LANGUAGE)


def refuse_unknown_folders(paths: Iterable[Path]) -> None:
    """UserError for a folder whose config.json describes another kind of model, with what is supported.

    (A folder without one is known by its keys alone; SAM 2's own names its kind and is no such error.)
    """
    for path in paths:
        where = path / "config.json"
        if not where.is_file() or has_language(path):
            continue
        kind = _kind_of(read_json(where))
        if not kind.startswith("sam2"):
            raise UserError(f"{where} describes {kind}, no Sa2VA, InternVL or SAM 2 model", SUPPORTED)


def _kind_of(values: Any) -> str:
    kind = values.get("model_type") if isinstance(values, dict) else None
    return kind if isinstance(kind, str) and kind.isascii() and kind.isprintable() else "nothing"


def _from_transformers(stated: Stated) -> dict[str, Any]:
    """transformers' own configuration of InternVL in the words of the official one."""
    vision, language = stated.part_of("vision_config"), stated.part_of("text_config")
    sides = {name: _side(vision, name) for name in ("image_size", "patch_size") if vision.has(name)}
    bias = {"qkv_bias": vision.flag("attention_bias", False), "qk_normalization": vision.flag("use_qk_norm", False)}
    named = {"architectures": ["Qwen2ForCausalLM"]} if language.values.get("model_type") == "qwen2" else {}
    rope = language.part_of("rope_parameters") if language.has("rope_parameters") else None
    theta = language if language.has("rope_theta") or rope is None else rope
    return {
        "vision_config": {**vision.values, **sides, **bias},
        "llm_config": {
            **language.values,
            **named,
            "rope_theta": theta.number("rope_theta", 1e6),
            "rope_scaling": language.values.get("rope_scaling") if rope is None else rope.values,
        },
        "downsample_ratio": stated.number("downsample_ratio", 0.5),
    }


def _side(vision: Stated, name: str) -> int:
    """The side of a square in pixels, from a number or a list of two."""
    return vision.wholes(name)[0] if isinstance(vision.values[name], list) else vision.whole(name)


def shape_from(folder: Path) -> Shape:
    """Shape of the model in `folder`. Released files do not state SAM 2's: it is Hiera large there.

    Raises UserError for a config.json that lacks a dimension, has one of another type, or is of an unsupported kind.
    """
    stated = Stated(folder / "config.json", read_config(folder))
    vision, language = stated.part_of("vision_config"), stated.part_of("llm_config")
    refuse_other_kinds(stated, vision, language)
    tokens = _tokens(stated)
    tile = stated if stated.has("force_image_size") else vision
    shape = Shape(
        vision=VisionShape(
            hidden=vision.whole("hidden_size"),
            layers=vision.whole("num_hidden_layers"),
            heads=vision.whole("num_attention_heads"),
            mlp=vision.whole("intermediate_size"),
            tile=tile.whole("force_image_size" if tile is stated else "image_size"),
            patch=vision.whole("patch_size"),
            eps=vision.number("layer_norm_eps", 1e-6),
            qkv_bias=vision.flag("qkv_bias", True),
        ),
        language=LanguageShape(
            hidden=language.whole("hidden_size"),
            layers=language.whole("num_hidden_layers"),
            heads=language.whole("num_attention_heads"),
            kv_heads=language.whole("num_key_value_heads"),
            mlp=language.whole("intermediate_size"),
            vocabulary=max(language.whole("vocab_size"), max(tokens.new) + 1),
            positions=language.whole("max_position_embeddings", 32768),
            rope_theta=language.number("rope_theta", 1e6),
            eps=language.number("rms_norm_eps", 1e-6),
        ),
        sam=_sam(stated),
        tokens=tokens,
        max_tiles=stated.whole("max_dynamic_patch", 12),
        template=template_of(stated),
    )
    refuse_unequal_parts(shape, stated.where)
    return shape


def _tokens(stated: Stated) -> TokenIds:
    """The released ids, or those that a small test model states."""
    if not stated.has("tokens"):
        return TokenIds()
    values = stated.part_of("tokens")
    seg = values.whole("seg", least=0)
    return TokenIds(values.whole("img_context", least=0), seg, (seg,))


def _sam(stated: Stated) -> SamShape:
    """Hiera large, or what a small test model states (in the words of SAM 2's own configuration)."""
    if not stated.has("sam2_config"):
        return SamShape()
    sam = stated.part_of("sam2_config")
    background = sam.wholes("bkg")
    if len(background) != 2:
        raise sam.error("bkg", list(background), "a list of two")
    return SamShape(
        image=sam.whole("image_size"),
        embed=sam.whole("embed_dim"),
        heads=sam.whole("num_heads"),
        stages=sam.wholes("stages"),
        windows=sam.wholes("window_spec", least=0),
        global_blocks=sam.wholes("global_att_blocks", least=0),
        background=(background[0], background[1]),
        width=sam.whole("d_model"),
        decoder_mlp=sam.whole("mlp_dim"),
        decoder_heads=sam.whole("num_heads_decoder"),
        decoder_downsample=sam.whole("attention_downsample_rate"),
        iou_hidden=sam.whole("iou_hidden"),
        mask_channels=sam.whole("mask_in_chans"),
        top_down=sam.wholes("fpn_top_down_levels", least=0),
    )
