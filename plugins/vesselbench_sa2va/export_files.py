"""The merged model as files: safetensors in shards, config.json, and what is copied from the base."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from vesselbench import UserError
from vesselbench.model import refuse_faulty
from vesselbench_sa2va.archives import INDEX, SINGLE

LARGEST_SHARD = 5_000_000_000
"""Bytes. A single tensor that is larger gets a file of its own."""


def write_shards(tensors: Iterable[tuple[str, Tensor]], folder: Path, largest: int = LARGEST_SHARD) -> tuple[int, int]:
    """Write model.safetensors, or shards of at most `largest` bytes with their index, as released models have them.

    No more than one shard is held in memory. Returns (tensors, bytes). Raises UserError for a tensor that is empty or
    not finite and when the disk refuses, ValueError for a key that comes twice.
    """
    keys: list[list[str]] = []
    total = 0
    for number, shard in enumerate(_dealt(tensors, largest)):
        refuse_faulty(shard, f"refused to write {folder}")
        _save(shard, _part(folder, number))
        keys.append(list(shard))
        total += sum(tensor.nbytes for tensor in shard.values())
    if len(keys) == 1:
        os.replace(_part(folder, 0), folder / SINGLE)
    else:
        names = [f"model-{number:05d}-of-{len(keys):05d}.safetensors" for number in range(1, len(keys) + 1)]
        for number, name in enumerate(names):
            os.replace(_part(folder, number), folder / name)
        placed = {key: name for name, part in zip(names, keys, strict=True) for key in part}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": dict(sorted(placed.items()))})
    return sum(map(len, keys)), total


def _dealt(tensors: Iterable[tuple[str, Tensor]], largest: int) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    size = 0
    seen: set[str] = set()
    for key, tensor in tensors:
        if key in seen:
            raise ValueError(f"{key} would be written twice")
        seen.add(key)
        if shard and size + tensor.nbytes > largest:
            yield shard
            shard, size = {}, 0
        shard[key] = tensor
        size += tensor.nbytes
    yield shard


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number}.safetensors"


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path, {"format": "pt"})
        path.chmod(path.parent.stat().st_mode & 0o666)  # safetensors makes it readable for its owner alone
    except (SafetensorError, OSError) as error:
        raise UserError(f"cannot write {path}: {error}", "free space or choose another folder") from error


def write_json(path: Path, value: Any) -> None:
    """JSON with an indent of two, as the released files have it."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def copy_code(bases: Sequence[Path], folder: Path) -> list[str]:
    """Copy the Python files that lie beside the first released base; returns their names (none without such a base)."""
    for base in bases:
        files = sorted(base.glob("modeling_sa2va_chat.py")) and sorted(base.glob("*.py")) if base.is_dir() else []
        for file in files:
            shutil.copyfile(file, folder / file.name)
        if files:
            return [file.name for file in files]
    return []
