"""A trained module as files: peft's adapter with the other trained parts, and merged weights as released models are."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vesselbench import UserError
from vesselbench_sa2va.adapted import check_adapted
from vesselbench_sa2va.adapter import load_adapter, write_adapter
from vesselbench_sa2va.archives import open_archive
from vesselbench_sa2va.building import build, shape_of, tokenizer_for
from vesselbench_sa2va.card import limit_lines, load_lines, opening_settings
from vesselbench_sa2va.collate import Collator
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.export_config import base_config, released_config
from vesselbench_sa2va.export_files import copy_code, write_json, write_shards
from vesselbench_sa2va.export_memory import find_memory
from vesselbench_sa2va.export_tokenizer import token_ids, write_tokenizer
from vesselbench_sa2va.merged import official_tensors

if TYPE_CHECKING:
    from vesselbench.hookspecs import Reopened
    from vesselbench_sa2va.model import Sa2VAModule

ADAPTER, MERGED = "adapter", "merged"
log = logging.getLogger("vesselbench.sa2va")


def export(module: Sa2VAModule, config: Sa2VAConfig, folder: Path) -> dict[str, list[str]]:
    """Write ``adapter/`` and ``merged/`` below `folder`; returns sections of the model card.

    Raises UserError for trained tensors that are empty, not finite or, of an adapter, zero throughout, and for merged
    weights that are not those of peft's own merging (`check_adapted`).
    """
    adapters, others = write_adapter(module, folder / ADAPTER)
    merged = folder / MERGED
    merged.mkdir()
    tokenizer = write_tokenizer(config, module.shape, merged)
    ids = token_ids(module.shape, merged)
    written = write_merged(module, config, merged, ids)
    adapted = check_adapted(module, merged)
    code = copy_code(config.weights, merged)
    about = f"{len(code)} Python files of the base" if code else "no Python files: the base has none"
    contents = [
        f"- `{ADAPTER}/`: {adapters} tensors of the adapter in peft's layout, {others} other trained tensors",
        *written,
        *tokenizer,
        f"- {about}",
    ]
    return {
        "Contents": contents,
        "How to load": load_lines(config, module.shape, code),
        "Checks": [
            f"- `{ADAPTER}/`, with the other trained parts, on the base gives every tensor of `{MERGED}/` bit for bit",
            "  (SAM 2's memory, which is copied, left out).",
            *adapted.lines(),
        ],
        "Limits": limit_lines(config, module.shape, module.frozen),
    }


def write_merged(
    module: Sa2VAModule, config: Sa2VAConfig, folder: Path, ids: dict[str, int | None], **options: int
) -> list[str]:
    """Write the merged weights under the official keys, with SAM 2's memory of the base, and config.json.

    `ids` go into config.json (`token_ids`), `options` to `write_shards`. Returns what was written, in words.
    """
    memory = find_memory(config.weights)
    dtype = next(module.text_hidden_fcs.parameters()).dtype

    def all_tensors() -> Any:
        yield from official_tensors(module)
        yield from memory.tensors(dtype)

    count, size = write_shards(all_tensors(), folder, **options)
    name = str(dtype).removeprefix("torch.")
    shape = replace(module.shape, max_tiles=config.max_tiles or module.shape.max_tiles)
    write_json(folder / "config.json", released_config(shape, name, ids, base_config(config.weights)))
    return [f"- `{MERGED}/`: {count} tensors under the official keys, {size:,} bytes of {name}", *memory.lines()]


def reopen(config: Sa2VAConfig, folder: Path) -> dict[str, Reopened]:
    """Both forms, to be read from the files alone; see `ModelWithExport.reopen`."""
    return {
        f"{MERGED}/": partial(open_merged, config, folder / MERGED),
        f"{ADAPTER}/ on the base": partial(_open_adapter, config, folder),
    }


def merged_config(config: Sa2VAConfig, folder: Path) -> Sa2VAConfig:
    """The settings that the model card gives for the merged folder, and no others of the run."""
    settings = opening_settings(config, shape_of(config)) | {"weights": folder}
    return Sa2VAConfig.model_validate({**settings, "freeze": "official", "lora": {"r": 1}})


def open_merged(config: Sa2VAConfig, folder: Path) -> tuple[Sa2VAModule, Collator]:
    """The merged folder as the model card says, by the plugin's own import; a fresh adapter changes nothing."""
    again = merged_config(config, folder)
    return build(again), Collator(again, shape_of(again), tokenizer_for(again))


def _open_adapter(config: Sa2VAConfig, folder: Path) -> tuple[Sa2VAModule, Collator]:
    module = build(config)
    load_adapter(module, folder / ADAPTER)
    count = compare_tensors(module, folder / MERGED)
    log.info("%s/ on the base gives the %d tensors of %s/ bit for bit", ADAPTER, count, MERGED)
    for line in check_adapted(module, folder / MERGED).lines():
        log.info("%s", line.removeprefix("- "))
    return module, Collator(config, shape_of(config), tokenizer_for(config))


def compare_tensors(module: Sa2VAModule, folder: Path) -> int:
    """Hold the module's merged weights against those in `folder`; returns how many there are.

    Raises UserError, with the largest difference, when any of them is not equal bit for bit.
    """
    archive = open_archive(folder)
    differing: dict[str, float] = {}
    count = 0
    for key, tensor in official_tensors(module):
        stored: Tensor = archive.read(key)
        count += 1
        if stored.dtype != tensor.dtype or not torch.equal(stored, tensor):
            differing[key] = float((stored.double() - tensor.double()).abs().max())
    if differing:
        worst = max(differing, key=lambda key: differing[key])
        raise UserError(
            f"adapter and other trained parts on the base differ from {folder} at"
            f" {len(differing)} of {count} tensors, most at {worst} ({differing[worst]:.3g})",
            "have the base weights changed since the training?",
        )
    return count
