"""Safetensors files written and read one tensor at a time, so that no copy of all of them is ever made.

The format (https://github.com/huggingface/safetensors): 8 bytes length of the header, the header as JSON (name ->
dtype, shape, byte range), the tensors' bytes in that order.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from vesselbench import distributed
from vesselbench.errors import UserError
from vesselbench.rundir import file_sha256

CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Names that the format has for types."""


@dataclass(frozen=True)
class Whole:
    """A tensor that is put together when it is its turn: every rank calls `fetch`, which gives it on rank 0."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    fetch: Callable[[], torch.Tensor | None]


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor | Whole]) -> None:
    """Write `path` whole or not at all; every rank must call it with the same names, rank 0 writes.

    What was written is read again from the disk and held against what was meant. UserError on every rank when the disk
    refuses, or gives back something else.
    """
    tensors = dict(sorted(tensors.items()))  # equal tensors give equal files, in whatever order a model names them
    writer = _Writer(path, tensors) if distributed.rank() == 0 else None
    for value in tensors.values():
        tensor = value.fetch() if isinstance(value, Whole) else value
        if writer is not None:
            assert tensor is not None, "rank 0 gets the tensor"
            writer.add(tensor)
        del tensor
    distributed.on_first(lambda: None if writer is None else writer.finish())


class _Writer:
    """Rank 0's side: after an error of the disk it takes tensors and drops them, since the others go on giving."""

    def __init__(self, path: Path, tensors: Mapping[str, torch.Tensor | Whole]) -> None:
        self._path, self._temporary = path, path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._digest, self._error, self._file = hashlib.sha256(), None, None
        self._sizes = [(tuple(value.shape), value.dtype) for value in tensors.values()]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._temporary, "wb")  # noqa: SIM115 `finish` closes it
            self._write(_header(tensors))
        except OSError as error:
            self._error = error

    def add(self, tensor: torch.Tensor) -> None:
        shape, dtype = self._sizes.pop(0)
        if (tuple(tensor.shape), tensor.dtype) != (shape, dtype):
            raise ValueError(f"{self._path}: a tensor {tuple(tensor.shape)} {tensor.dtype} came for {shape} {dtype}")
        if self._error is None:
            try:
                self._write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
            except OSError as error:
                self._error = error

    def finish(self) -> None:
        try:
            if self._error is not None:
                raise self._error
            assert self._file is not None
            self._file.flush()
            sync_and_drop(self._file.fileno())
            self._file.close()
            meant, found = self._digest.hexdigest(), file_sha256(self._temporary)
            if meant != found:
                raise UserError(
                    f"{self._path} read back differs from what was written (SHA-256 {found[:12]}, meant {meant[:12]})",
                    "the disk or the memory is faulty: do not go on with this machine",
                )
            os.replace(self._temporary, self._path)
        except OSError as error:
            raise UserError(
                f"cannot write {self._path}: {error.strerror or error}",
                "free space or choose another folder; nothing was overwritten",
            ) from error
        finally:
            with suppress(OSError):
                if self._file is not None:
                    self._file.close()
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)

    def _write(self, content: Any) -> None:
        assert self._file is not None
        self._digest.update(content)
        self._file.write(content)


def sync_and_drop(descriptor: int) -> None:
    """Bring an open file to the disk, and let the system forget its pages: reading it again asks the disk."""
    os.fsync(descriptor)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _header(tensors: Mapping[str, torch.Tensor | Whole]) -> bytes:
    entries, position = {}, 0
    for name, value in tensors.items():
        shape = tuple(value.shape)
        size = torch.Size(shape).numel() * value.dtype.itemsize
        entries[name] = {"dtype": CODES[value.dtype], "shape": shape, "data_offsets": (position, position + size)}
        position += size
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


class TensorFile:
    """An open safetensors file; use as a context. UserError when it is not a whole one."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: Any = safe_open(path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{path} is not a whole safetensors file: {error}", "it was damaged; copy it again"
            ) from None
        self.names: list[str] = list(self._file.keys())  # type: ignore[no-untyped-call]

    def __enter__(self) -> TensorFile:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def below(self, prefix: str) -> Mapping[str, torch.Tensor]:
        """The tensors whose names start with `prefix`, without it; each is read when it is asked for."""
        return _Lazy(self._file, {name[len(prefix) :]: name for name in self.names if name.startswith(prefix)})


class _Lazy(Mapping[str, torch.Tensor]):
    def __init__(self, file: Any, names: dict[str, str]) -> None:
        self._file, self._names = file, names

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._file.get_tensor(self._names[name])
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
