"""A file that is not of the model that is built: what differs, and which released model it seems to belong to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vesselbench import UserError
from vesselbench_sa2va.archives import Archive

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Kin:
    """Released models whose language model has this width and this number of layers. `size`: ours, where there is
    one; `why`: why there is none."""

    width: int
    layers: int
    models: str
    size: str = ""
    why: str = ""


INTERNLM2, LARGE_VISION = "InternLM2, which is not supported", "InternViT-6B, which is not supported"
KIN = (
    Kin(896, 24, "InternVL3-1B or InternVL2.5-1B", "1b"),
    Kin(1536, 28, "InternVL3-2B", "2b"),
    Kin(2048, 24, "InternVL2.5-2B", why=INTERNLM2),
    Kin(2048, 36, "InternVL2.5-4B", "auto"),
    Kin(3072, 32, "InternVL2-4B", why="Phi-3, which is not supported"),
    Kin(3584, 28, "InternVL3-8B", "8b"),
    Kin(4096, 32, "InternVL2.5-8B", why=INTERNLM2),
    Kin(4096, 48, "InternVL3-9B", why="InternLM3, which is not supported"),
    Kin(5120, 48, "InternVL3-14B", "14b"),
    Kin(5120, 64, "InternVL3-38B or InternVL2.5-38B", why=LARGE_VISION),
    Kin(6144, 48, "InternVL2.5-26B", why=INTERNLM2),
    Kin(8192, 80, "InternVL3-78B or InternVL2.5-78B", why=LARGE_VISION),
)
"""Sizes in the released config.json files of InternVL 2.5 and 3, on which the Sa2VA models of the same size rest."""
FOREIGN: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\.layers\.\d+\.attention\.wqkv\."), "InternLM2"),
    (re.compile(r"language_model\..*\.layers\.\d+\.self_attn\.qkv_proj\."), "Phi-3"),
    (re.compile(r"(^|\.)visual\.(blocks|merger|patch_embed)\."), "Qwen-VL"),
    (re.compile(r"vision_model\..*\.attn\.[qk]_norm\."), "InternViT-6B"),
)
SUPPORTED = "supported: Sa2VA and InternVL of the kinds 2.5 and 3 whose language model is Qwen2 (InternViT-300M)"
WIDTH_KEY = re.compile(r"(^|\.)text_hidden_fcs\.0\.weight$|(^|\.)(embed_tokens|tok_embeddings)\.(.*\.)?weight$")
LAYER_KEY = re.compile(r"(^|\.)language_model\..*?layers\.(\d+)\.")


def foreign_kind(shapes: Shapes) -> str:
    """What can be told of a file whose keys are those of a network that cannot be built; empty when they are not."""
    for mark, kind in FOREIGN:
        key = next((key for key in shapes if mark.search(key)), None)
        if key is not None:
            kin = kin_of(shapes)
            models = " or ".join(one.models for one in kin)
            return f"{key} is a key of {kind}" + (f", the width {kin[0].width} that of {models}" if kin else "")
    return ""


def kin_of(shapes: Shapes) -> list[Kin]:
    """Released models with the language model's width and, where its layers are in the file, their number."""
    widths = {shape[-1] for key, shape in shapes.items() if WIDTH_KEY.search(key) and shape}
    same = [kin for kin in KIN if kin.width in widths]
    return [kin for kin in same if kin.layers == layers_of(shapes)] or same


def layers_of(shapes: Shapes) -> int:
    """Layers of the language model, by the highest number among the keys; 0 when none is there."""
    return max((int(found.group(2)) + 1 for key in shapes if (found := LAYER_KEY.search(key))), default=0)


@dataclass(frozen=True)
class Misfit:
    """Keys that are missing from a file, that are no part of the model, and of another shape: (theirs, ours)."""

    archive: Archive
    kind: str
    missing: list[str]
    unknown: list[str]
    other: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unknown or self.other)

    def error(self, ours: Shapes) -> UserError:
        """All of it in words; the hint names the model that the file seems to belong to. `ours`: by plain name."""
        parts = [f"{len(self.missing)} keys missing: {some(self.missing)}"] if self.missing else []
        parts += [f"{len(self.unknown)} unexpected: {some(self.unknown)}"] if self.unknown else []
        shapes = [f"{key} {theirs} against {wanted}" for key, (theirs, wanted) in sorted(self.other.items(), key=_rank)]
        parts += [f"{len(shapes)} of another shape: {some(shapes)}"] if shapes else []
        return UserError(
            f"{self.archive.path}, read as {self.kind}, does not fit this model; {'; '.join(parts)}", self._cure(ours)
        )

    def _cure(self, ours: Shapes) -> str:
        foreign = foreign_kind(self.archive.shapes)
        if foreign:
            return f"{foreign}; {SUPPORTED}"
        kin, built = kin_of(self.archive.shapes), (ours["text_hidden_fcs.0.weight"][-1], layers_of(ours))
        if kin and built not in [(one.width, one.layers) for one in kin]:
            return _advice(kin)
        ranks = {theirs[0] for key, (theirs, _) in self.other.items() if ".lora_A." in key}
        if ranks and not self.missing and not self.unknown:
            return f"set model.lora.r={min(ranks)}, the rank of the file"
        return "check model.size, model.lora and the file"


def _rank(item: tuple[str, object]) -> tuple[bool, str]:
    """The step to the prompts first: its width is the language model's."""
    return "text_hidden_fcs" not in item[0], item[0]


def _advice(kin: list[Kin]) -> str:
    models = " or ".join(one.models + (f" ({one.why})" if one.why else "") for one in kin)
    sizes = [one.size for one in kin if one.size]
    cure = f"set model.size={sizes[0]} and the weights of that model" if sizes else "use a file of the model you build"
    return f"by its width {kin[0].width} the file belongs to {models}; {cure}"


def some(names: list[str], most: int = 8) -> str:
    """The first names and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
