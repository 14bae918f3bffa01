"""Predictions kept on disk while the threshold is not known yet, so that memory does not grow with the set."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vesselbench.errors import UserError
from vesselbench.rundir import append_jsonl, file_name, file_sha256, write_jsonl
from vesselbench.types import Prediction

log = logging.getLogger(__name__)
_CURE = "free space there, or set the environment's TMPDIR to a larger disk"


@dataclass(frozen=True)
class Kept:
    """A prediction without its pixels: `values` are what was measured of it, `sha256` that of its file."""

    id: str
    text: str | None
    status: str
    values: list[float | None]
    seconds: float
    sha256: str


class Spool:
    """A context with a folder of its own (4 bytes a pixel, exact), removed at its end.

    Without `folder` it lies where the environment's TMPDIR says. With one it stays behind after an error or a kill, and
    a later spool of the same folder and `key` holds what is whole in it. UserError when none can be made.
    """

    def __init__(self, folder: Path | None = None, key: Mapping[str, Any] | None = None) -> None:
        self.kept: dict[str, Kept] = {}
        self._stays, self._lock = folder is not None, threading.Lock()
        try:
            if folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="vesselbench-predictions-"))
                return
            self._folder = folder
            self.kept = self._read(json.loads(json.dumps(key)))
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make a temporary folder: {error.strerror or error}", _CURE) from error
        write_jsonl(self._index, [{"key": key}, *(asdict(kept) for kept in self.kept.values())])

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None or not self._stays:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __len__(self) -> int:
        return len(self.kept)

    def put(self, prediction: Prediction, values: Sequence[float | None] = (), seconds: float = 0.0) -> None:
        """Store one prediction, from any thread; UserError when the disk refuses."""
        path = self._path(prediction.id)
        try:
            np.save(path, prediction.probability, allow_pickle=False)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}", _CURE) from error
        sha256 = file_sha256(path) if self._stays else ""
        kept = Kept(prediction.id, prediction.text, prediction.status, list(values), seconds, sha256)
        with self._lock:
            self.kept[prediction.id] = kept
            if self._stays:
                append_jsonl(self._index, asdict(kept))

    def get(self, name: str) -> Prediction:
        """The prediction of that id, bit for bit."""
        kept = self.kept[name]
        return Prediction(name, np.load(self._path(name), allow_pickle=False), kept.text, kept.status)

    @property
    def _index(self) -> Path:
        return self._folder / "index.jsonl"

    def _path(self, name: str) -> Path:
        return self._folder / f"{file_name(name)}.npy"

    def _read(self, key: Any) -> dict[str, Kept]:
        """What an earlier process has left whole; nothing when it was of another key."""
        if not self._index.is_file():
            return {}
        found: dict[str, Kept] = {}
        for number, line in enumerate(self._index.read_text(encoding="utf-8", errors="replace").split("\n")):
            try:
                value = json.loads(line)
            except json.JSONDecodeError:  # the half line that a killed process leaves
                continue
            if number == 0:
                if value != {"key": key}:
                    return {}
                continue
            try:
                kept = Kept(**value)
            except TypeError as error:
                log.warning("%s line %d is damaged (%r): that image is predicted again", self._index, number + 1, error)
                continue
            path = self._path(kept.id)
            if path.is_file() and file_sha256(path) == kept.sha256:
                found[kept.id] = kept
            else:
                log.warning("%s is damaged or missing: that image is predicted again", path)
        return found
