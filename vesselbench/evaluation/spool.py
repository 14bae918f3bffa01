"""Predictions kept on disk while the threshold is not known yet, so that memory does not grow with the set."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vesselbench.distributed import gather_rows
from vesselbench.errors import UserError
from vesselbench.evaluation.notes import Notes
from vesselbench.rundir import file_name, file_sha256
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
    """A context with a folder of its own (4 bytes a pixel, exact).

    Without `folder` it lies where the environment's TMPDIR says, one for each rank, and is removed at its end. With
    one, which all ranks share, it stays until whoever completes the evaluation removes it, and a later spool of the
    same folder and `key` holds what is whole in it; every rank must make it then. UserError when none can be made.
    """

    def __init__(self, folder: Path | None = None, key: Mapping[str, Any] | None = None) -> None:
        self.kept: dict[str, Kept] = {}
        """What an earlier spool has left and what this process has put."""
        self.before: frozenset[str] = frozenset()
        """Ids that an earlier spool has left, the same on every rank."""
        self._notes: Notes[Kept] | None = None
        try:
            if folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="vesselbench-predictions-"))
                return
            self._folder = folder
            folder.mkdir(parents=True, exist_ok=True)
            self._notes = Notes(folder, "index", key or {}, self._parsed)
        except OSError as error:
            raise UserError(f"cannot make a temporary folder: {error.strerror or error}", _CURE) from error
        self.kept.update(self._notes.before)
        self.before = frozenset(self.kept)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._notes is None:
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
        sha256 = "" if self._notes is None else file_sha256(path)
        kept = Kept(prediction.id, prediction.text, prediction.status, list(values), seconds, sha256)
        self.kept[prediction.id] = kept
        if self._notes is not None:
            self._notes.add(kept)

    def values(self) -> list[list[float | None]]:
        """What was measured of the predictions of all ranks, each once."""
        everywhere = {kept.id: kept.values for kept in gather_rows(list(self.kept.values()))}
        return list(everywhere.values())

    def get(self, name: str) -> Prediction:
        """The prediction of that id, bit for bit."""
        kept = self.kept[name]
        return Prediction(name, np.load(self._path(name), allow_pickle=False), kept.text, kept.status)

    def _path(self, name: str) -> Path:
        return self._folder / f"{file_name(name)}.npy"

    def _parsed(self, value: Any) -> tuple[str, Kept] | None:
        kept = Kept(**value)
        path = self._path(kept.id)
        if path.is_file() and file_sha256(path) == kept.sha256:
            return kept.id, kept
        log.warning("%s is damaged or missing: that image is predicted again", path)
        return None
