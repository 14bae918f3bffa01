"""Stored tensors by key, read one at a time: safetensors (one file, or a folder of shards) and PyTorch files."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vesselbench import UserError

FLOATS = {"F64", "F32", "F16", "BF16"}
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


class Archive(Protocol):
    """`path` for messages; `files` that make it up; `shapes` by key; `read` gives one tensor."""

    path: Path
    files: list[Path]
    shapes: dict[str, tuple[int, ...]]

    def read(self, key: str) -> Tensor: ...


class Safetensors:
    """One .safetensors file or several that share no key. Nothing but names and shapes is read before `read`."""

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.path, self.files = path, files
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._handles: dict[str, Any] = {}
        for file in files:
            for key, handle in _open(file):
                if key in self.shapes:
                    raise UserError(f"{file}: key {key!r} stands in an earlier file too", "give each shard once")
                part = handle.get_slice(key)
                if part.get_dtype() not in FLOATS:
                    raise UserError(
                        f"{file}: key {key!r} is of type {part.get_dtype()}", "weights must be F32, BF16 or F16"
                    )
                self.shapes[key], self._handles[key] = tuple(part.get_shape()), handle

    def read(self, key: str) -> Tensor:
        tensor: Tensor = self._handles[key].get_tensor(key)
        return tensor


class TorchFile:
    """A .pt or .pth file, mapped into memory; its tensors may lie under ``model`` or ``state_dict``. No code is run."""

    def __init__(self, path: Path) -> None:
        self.path, self.files = path, [path]
        try:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise UserError(
                f"{path} cannot be read as plain tensors: {first}",
                "copy it again if it was cut short; if it holds other objects, save its state_dict alone",
            ) from None
        for wrapper in ("state_dict", "model"):
            if isinstance(held, dict) and isinstance(held.get(wrapper), dict):
                held = held[wrapper]
        if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
            raise UserError(f"{path} holds no table of tensors", "save a state_dict")
        nameless = [key for key in held if not isinstance(key, str)]
        if nameless:
            raise UserError(f"{path}: key {nameless[0]!r} is no text", "save a state_dict: tensors by name")
        for key, tensor in held.items():
            if not tensor.is_floating_point():
                raise UserError(f"{path}: key {key!r} is of type {tensor.dtype}", "weights must be floating")
        self._tensors: dict[str, Tensor] = held
        self.shapes: dict[str, tuple[int, ...]] = {key: tuple(tensor.shape) for key, tensor in held.items()}

    def read(self, key: str) -> Tensor:
        return self._tensors[key]


def open_archive(path: Path) -> Archive:
    """The tensors at `path`: a folder of safetensors, or one file. UserError when it is missing or damaged."""
    if path.is_dir():
        return Safetensors(path, _shards(path))
    if not path.is_file():
        raise UserError(f"model.weights: {path} does not exist", "check the path")
    if path.suffix == ".safetensors":
        return Safetensors(path, [path])
    if path.suffix in (".pt", ".pth", ".bin"):
        return TorchFile(path)
    raise UserError(f"model.weights: {path} is no kind of weights", "give a folder, .safetensors, .pt or .pth")


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
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        raise UserError(f"{index} is no index of shards", "copy it again") from None
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: {len(missing)} of {len(names)} shards are missing: {', '.join(missing)}", "copy them"
        )
    return [folder / name for name in names]
