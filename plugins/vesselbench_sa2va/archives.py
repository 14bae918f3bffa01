"""Stored tensors by key, read one at a time: safetensors (one file, or a folder of shards) and PyTorch files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError, safe_open
from torch import Tensor

from vesselbench import UserError
from vesselbench_sa2va.stated import AGAIN, Stated, read_json
from vesselbench_sa2va.torchfiles import read_tensors

FLOATS = {"F64", "F32", "F16", "BF16"}
MAPPED = 32 * 2**20
"""Bytes that are read from an open mapping before it is closed."""
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SHARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.safetensors")
MEANING = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)
"""Files of a folder that are no weights and yet decide what these compute."""


class Archive(Protocol):
    """`path` for messages; `files` that make it up, with those of its folder that give its weights their meaning;
    `shapes` by key; `read` gives one tensor."""

    path: Path
    files: list[Path]
    shapes: dict[str, tuple[int, ...]]

    def read(self, key: str) -> Tensor: ...


class Safetensors:
    """One .safetensors file or several that share no key. Nothing but names and shapes is read before `read`."""

    def __init__(self, path: Path, files: list[Path], beside: Sequence[Path] = ()) -> None:
        """`files` hold the tensors; those `beside` them are only counted as part of it."""
        self.path, self.files = path, [*files, *beside]
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._file_of: dict[str, Path] = {}
        self._open_file: Path | None = None
        self._mapped = 0
        for file in files:
            for key, handle in _open(file):
                if key in self.shapes:
                    raise UserError(f"{file}: key {key!r} stands in an earlier file too", "give each shard once")
                part = handle.get_slice(key)
                if part.get_dtype() not in FLOATS:
                    raise UserError(
                        f"{file}: key {key!r} is of type {part.get_dtype()}", "weights must be F32, BF16 or F16"
                    )
                self.shapes[key], self._file_of[key] = tuple(part.get_shape()), file

    def read(self, key: str) -> Tensor:
        """A view of the file, mapped into memory: copy it before the next `read`.

        The file is opened anew every `MAPPED` bytes: pages of an open mapping count as this process's memory.
        """
        file = self._file_of[key]
        if file != self._open_file or self._mapped > MAPPED:
            self._handle: Any = safe_open(file, framework="pt")
            self._open_file, self._mapped = file, 0
        tensor: Tensor = self._handle.get_tensor(key)
        self._mapped += tensor.nbytes
        return tensor


class TorchFile:
    """A .pt or .pth file, mapped into memory; its tensors may lie under ``model`` or ``state_dict``. No code is run."""

    def __init__(self, path: Path) -> None:
        self.path, self.files = path, [path]
        self._tensors = read_tensors(path)
        self._mapped = 0
        self.shapes: dict[str, tuple[int, ...]] = {key: tuple(tensor.shape) for key, tensor in self._tensors.items()}

    def read(self, key: str) -> Tensor:
        """A view of the file: copy it before the next `read`, which opens the file anew every `MAPPED` bytes."""
        if self._mapped > MAPPED:
            self._tensors, self._mapped = {}, 0
            self._tensors = read_tensors(self.path)
        self._mapped += self._tensors[key].nbytes
        return self._tensors[key]


def open_archive(path: Path) -> Archive:
    """The tensors at `path`: a folder of safetensors, or one file. UserError when it is missing or damaged."""
    if path.is_dir():
        return Safetensors(path, _shards(path), meaning_of(path))
    if not path.is_file():
        raise UserError(f"model.weights: {path} does not exist", "check the path")
    if path.suffix == ".safetensors":
        return Safetensors(path, [path])
    if path.suffix in (".pt", ".pth", ".bin"):
        return TorchFile(path)
    raise UserError(f"model.weights: {path} is no kind of weights", "give a folder, .safetensors, .pt or .pth")


def meaning_of(folder: Path) -> list[Path]:
    """The files of a folder that are no weights and yet decide what these compute: configuration and tokenizer."""
    return [folder / name for name in MEANING if (folder / name).is_file()]


def sha256_of(files: list[Path]) -> dict[str, str]:
    """Digest of each file, by its path."""
    digests = {}
    for path in files:
        with path.open("rb") as stream:
            digests[str(path)] = hashlib.file_digest(stream, "sha256").hexdigest()
    return digests


def _open(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        handle: Any = safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{file} is not a whole safetensors file: {error}", "copy it again; it was cut short or is another kind"
        ) from None
    for key in handle.keys():  # noqa: SIM118 - not a dict
        yield key, handle


def _shards(folder: Path) -> list[Path]:
    """The shards that the index names, all of them there; else model.safetensors, else every .safetensors file."""
    index = folder / INDEX
    if not index.is_file():
        if (folder / SINGLE).is_file():
            return [folder / SINGLE]
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise UserError(f"model.weights: no .safetensors file in {folder}", "give the folder of a released model")
        return files
    names = sorted(set(_weight_map(index).values()))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: {len(missing)} of {len(names)} shards are missing: {', '.join(missing)}", "copy them"
        )
    return [folder / name for name in names]


def _weight_map(index: Path) -> dict[str, str]:
    """Key -> name of the shard in the same folder, as the index states it."""
    held = read_json(index)
    if not isinstance(held, dict):
        raise UserError(f"{index} is no index of shards: it holds no mapping", AGAIN)
    table = Stated(index, held).part_of("weight_map")
    if not table.values:
        raise UserError(f"{index} is no index of shards: its weight_map is empty", AGAIN)
    for key, name in table.values.items():
        if not isinstance(name, str) or not SHARD.fullmatch(name):
            raise table.error(ascii(key), name, "the name of a .safetensors file in the same folder")
    return table.values
