"""SAM 2's memory: 157 tensors of the released model that only videos use. This plugin never loads or trains them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vesselbench_sa2va.archives import Archive, open_archive
from vesselbench_sa2va.names import SAM, UNUSED

RELEASED = 157
"""Memory tensors of a released model (SAM 2.0, Hiera large)."""
NEWER = re.compile(r"^(no_obj_embed_spatial|obj_ptr_tpos_proj\.|occlusion_spatial_|temporal_positional_encoding_proj)")
"""Memory tensors of SAM 2.1, which the released Sa2VA does not have."""
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^memory_temporal_positional_encoding$", "maskmem_tpos_enc"),
        (r"^no_memory_positional_encoding$", "no_mem_pos_enc"),
        (r"^no_object_pointer$", "no_obj_ptr"),
        (r"^object_pointer_proj\.layers\.0\.", "obj_ptr_proj.layers.1."),
        (r"^object_pointer_proj\.proj_in\.", "obj_ptr_proj.layers.0."),
        (r"^object_pointer_proj\.proj_out\.", "obj_ptr_proj.layers.2."),
        (r"^(memory_attention\.(?:layers\.\d+\.)?)layer_norm(\d?)\.", r"\1norm\2."),
        (r"^(memory_attention\..*)\.o_proj\.", r"\1.out_proj."),
        (r"^(memory_encoder)\.feature_projection\.", r"\1.pix_feat_proj."),
        (r"^(memory_encoder)\.projection\.", r"\1.out_proj."),
        (r"^(memory_encoder\.mask_downsampler)\.final_conv\.", r"\1.encoder.12."),
        (r"^(memory_encoder)\.memory_fuser\.", r"\1.fuser."),
        (r"^(memory_encoder\.fuser\..*)\.depthwise_conv\.", r"\1.dwconv."),
        (r"^(memory_encoder\.fuser\..*)\.layer_norm\.", r"\1.norm."),
        (r"^(memory_encoder\.fuser\..*)\.pointwise_conv([12])\.", r"\1.pwconv\2."),
        (r"^(memory_encoder\.fuser\..*)\.(?:scale|gamma)$", r"\1.g_weight"),
    )
)
_DOWNSAMPLER = re.compile(r"^(memory_encoder\.mask_downsampler)\.layers\.(\d)\.(conv|layer_norm)\.")


def released_name(key: str) -> str:
    """The key of a released Sa2VA model for a memory tensor of SAM 2's own file or of transformers' video model."""
    name = key.removeprefix(SAM)
    for pattern, replacement in _RULES:
        name = pattern.sub(replacement, name)
    name = _DOWNSAMPLER.sub(lambda m: f"{m[1]}.encoder.{3 * int(m[2]) + (m[3] != 'conv')}.", name)
    return SAM + name


@dataclass(frozen=True)
class Memory:
    """The memory tensors that the base files hold: released key -> (file, its key); `newer` are left out."""

    found: dict[str, tuple[Archive, str]]
    newer: list[str]

    def tensors(self, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
        """Read them one at a time, as `dtype`."""
        for name, (archive, key) in sorted(self.found.items()):
            yield name, archive.read(key).to(dtype, copy=True).contiguous()

    def lines(self) -> list[str]:
        """How many there are, for the model card."""
        lines = [f"- SAM 2's memory (videos only): {len(self.found)} of {RELEASED} tensors, copied from the base"]
        if not self.found:
            lines = [
                f"- SAM 2's memory (videos only): 0 of {RELEASED} tensors, because the base has none. The released code"
                " would start them at random: single images are not affected, videos would be wrong."
            ]
        if self.newer:
            lines.append(f"- {len(self.newer)} memory tensors of SAM 2.1 left out: the released model has none of them")
        return lines


def find_memory(bases: Sequence[Path]) -> Memory:
    """Look for memory tensors in the base files; a later file wins, as it does for all other weights."""
    found: dict[str, tuple[Archive, str]] = {}
    newer: list[str] = []
    for path in bases:
        archive = open_archive(path)
        for key in archive.shapes:
            name = key.removeprefix(SAM)
            if NEWER.match(name):
                newer.append(key)
            elif UNUSED.match(name):
                found[released_name(key)] = (archive, key)
    return Memory(found, newer)
