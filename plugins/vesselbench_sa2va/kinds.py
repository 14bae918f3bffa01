"""The kinds of Sa2VA and InternVL that can be built; every other is refused by what its config.json states."""

from __future__ import annotations

from pathlib import Path

from vesselbench import UserError
from vesselbench_sa2va.misfit import SUPPORTED
from vesselbench_sa2va.prompts import TEMPLATES
from vesselbench_sa2va.sizes import Shape
from vesselbench_sa2va.stated import AGAIN, Stated, shown

CHAT = "qwen_chat"
"""The template that Sa2VA uses with a Qwen2 language model."""


def template_of(stated: Stated) -> str:
    """The template that a Sa2VA folder states; the one of an InternVL base says how that chats, not how Sa2VA does."""
    if stated.values.get("model_type") == "internvl_chat":
        return CHAT
    template = stated.text("template", CHAT)
    if template not in TEMPLATES:
        raise UserError(f"{stated.where}: the template is {template!a}", f"supported: {', '.join(TEMPLATES)}")
    return template


def refuse_other_kinds(stated: Stated, vision: Stated, language: Stated) -> None:
    """UserError for another language model than Qwen2, and for a network that differs from the one that is built."""
    names = language.values.get("architectures") or [language.values.get("model_type", "none")]
    kind = names[0] if isinstance(names, list) and isinstance(names[0], str) else "none"
    if kind != "Qwen2ForCausalLM":
        raise UserError(f"{stated.where}: the language model is {ascii(kind)[1:-1]}", SUPPORTED)
    wanted: tuple[tuple[Stated, str, object], ...] = (
        (vision, "qk_normalization", False),
        (vision, "norm_type", "layer_norm"),
        (stated, "downsample_ratio", 0.5),
        (stated, "ps_version", "v2"),
        (stated, "select_layer", -1),
        (language, "tie_word_embeddings", False),
        (language, "use_sliding_window", False),
    )
    for part, key, expected in wanted:
        found = part.values.get(key, expected)
        if found != expected:
            message = f"{stated.where}: {part.name(key)} is {shown(found)}, only {expected!r} can be built"
            raise UserError(message, SUPPORTED)
    _refuse_other_rotation(language)


def _refuse_other_rotation(language: Stated) -> None:
    """Positions that are scaled at any length; "dynamic" scales only texts that are longer than is allowed here."""
    if not language.has("rope_scaling"):
        return
    scaling = language.part_of("rope_scaling")
    kind = scaling.text("rope_type", scaling.text("type", "default"))
    if kind not in ("default", "dynamic"):
        raise UserError(f"{language.where}: {scaling.part} is of the kind {kind!a}", "supported: default and dynamic")


def refuse_unequal_parts(shape: Shape, where: Path) -> None:
    """Dimensions that do not divide each other, so that no network has them."""
    vision, language = shape.vision, shape.language
    parts = (
        ("vision_config.hidden_size", vision.hidden, "num_attention_heads", vision.heads),
        ("llm_config.hidden_size", language.hidden, "num_attention_heads", language.heads),
        ("llm_config.num_attention_heads", language.heads, "num_key_value_heads", language.kv_heads),
        ("the tile's side", vision.tile, "twice patch_size", 2 * vision.patch),
    )
    for name, value, by, part in parts:
        if value % part:
            raise UserError(f"{where}: {name} {value} is no multiple of {by} {part}", AGAIN)
