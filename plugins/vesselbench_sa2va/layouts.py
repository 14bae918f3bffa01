"""The kinds of files that weights come in, recognised by their keys, and where each keeps our tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from vesselbench import UserError
from vesselbench_sa2va.archives import Archive
from vesselbench_sa2va.misfit import foreign_kind
from vesselbench_sa2va.names import SAM, UNUSED, Piece, official

Find = Callable[[str, Mapping[str, tuple[int, ...]]], Piece]


@dataclass(frozen=True)
class Layout:
    """`holds` says which of our plain names such a file must have; `find` where a name stands in it."""

    kind: str
    holds: re.Pattern[str]
    find: Find
    base: bool = True
    grows: bool = False
    """Whether its vocabulary may lack the new tokens, which then start as the mean of the others."""


LORA = re.compile(r"\.lora_[AB]\.")
_COPIED = re.compile(r"^vlm\.(model\.language_model\.embed_tokens|lm_head)\.weight$")
_TRAINED = re.compile(
    LORA.pattern
    + "|"
    + _COPIED.pattern
    + r"|^vlm\.model\.multi_modal_projector\.|^text_hidden_fcs\.|^sam\.mask_decoder\."
)
_WRAPPED = "mllm.model.language_model.base_model.model."
_POSITIONS = {
    "shared_image_embedding.positional_embedding": "prompt_encoder.shared_embedding.positional_embedding",
    "prompt_encoder.shared_embedding.positional_embedding": "shared_image_embedding.positional_embedding",
}


def _released(name: str, _: Mapping[str, tuple[int, ...]]) -> Piece:
    return official(name)


def _sam_file(name: str, _: Mapping[str, tuple[int, ...]]) -> Piece:
    return Piece(tuple(key.removeprefix(SAM) for key in official(name).keys))


def _sam_transformers(name: str, keys: Mapping[str, tuple[int, ...]]) -> Piece:
    name = name.removeprefix("sam.")
    return Piece((name if name in keys else _POSITIONS.get(name, name),))


def _internvl_transformers(name: str, keys: Mapping[str, tuple[int, ...]]) -> Piece:
    """Newer files say ``model.language_model.``, older ones ``language_model.model.``."""
    name = name.removeprefix("vlm.")
    if name in keys:
        return Piece((name,))
    older = name.replace("model.language_model.", "language_model.model.", 1).replace(
        "model.vision_tower.", "vision_tower."
    )
    older = older.replace("model.multi_modal_projector.", "multi_modal_projector.")
    older = older.replace("lm_head.", "language_model.lm_head.", 1)
    return Piece((older if older in keys else name,))


def _training(name: str, keys: Mapping[str, tuple[int, ...]]) -> Piece:
    """Names of the official trainer: its LoRA wraps the language model alone; older files hold the tables in place."""
    if LORA.search(name):
        return Piece((_WRAPPED + name.removeprefix("vlm.").replace("model.language_model.", "model.", 1),))
    if _COPIED.match(name):
        table = name.removeprefix("vlm.").replace("model.language_model.", "model.", 1).removesuffix(".weight")
        copied = f"{_WRAPPED}{table}.modules_to_save.default.weight"
        return Piece((copied if copied in keys else f"{_WRAPPED}{table}.weight",))
    piece = official(name)
    return Piece(tuple(f"mllm.model.{key}" if key.startswith("mlp1.") else key for key in piece.keys))


ALL = re.compile(r"^(vlm|sam|text_hidden_fcs)\.(?!.*\.lora_)")
VLM = re.compile(r"^vlm\.(?!.*\.lora_)")
SAM2 = re.compile(r"^sam\.")
LAYOUTS: tuple[tuple[re.Pattern[str], Layout], ...] = (
    (re.compile(r"^mllm\.model\."), Layout("official training checkpoint", _TRAINED, _training, base=False)),
    (re.compile("^" + re.escape(SAM)), Layout("released Sa2VA", ALL, _released)),
    (re.compile(r"^vision_model\.encoder\."), Layout("InternVL", VLM, _released, grows=True)),
    (re.compile(r"^image_encoder\.trunk\."), Layout("SAM 2", SAM2, _sam_file)),
    (re.compile(r"^vision_encoder\.backbone\."), Layout("SAM 2 in transformers' layout", SAM2, _sam_transformers)),
    (
        re.compile(r"^(model\.)?vision_tower\.encoder\."),
        Layout("InternVL in transformers' layout", VLM, _internvl_transformers, grows=True),
    ),
)


def layout_of(archive: Archive) -> Layout:
    """The first layout whose mark is among the keys; UserError, with some keys, when there is none."""
    for mark, layout in LAYOUTS:
        if any(mark.match(key) for key in archive.shapes):
            return layout
    known = foreign_kind(archive.shapes) or "known: " + "; ".join(layout.kind for _, layout in LAYOUTS)
    first = ", ".join(sorted(archive.shapes)[:4]) or "none"
    raise UserError(f"{archive.path} is of no known kind; its first keys: {first}", known)


def pieces_of(archive: Archive, layout: Layout, names: Iterable[str]) -> dict[str, Piece]:
    """Where each of our plain names that such a file holds would stand in the archive."""
    return {name: layout.find(name, archive.shapes) for name in names if layout.holds.search(name)}


def unmatched(archive: Archive, pieces: Mapping[str, Piece]) -> tuple[list[str], list[str]]:
    """Keys that the pieces want and the archive lacks; keys of it that are no part of the model.

    (SAM 2's memory, which only videos need, may be there.)
    """
    wanted = {key for piece in pieces.values() for key in piece.keys}
    extra = [key for key in archive.shapes if key not in wanted and not UNUSED.match(key.removeprefix(SAM))]
    return sorted(wanted - archive.shapes.keys()), sorted(extra)
