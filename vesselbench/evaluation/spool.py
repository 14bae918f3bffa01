"""Predictions kept on disk while the threshold is not known yet, so that memory does not grow with the set."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from vesselbench.errors import UserError
from vesselbench.types import Prediction

_CURE = "free space there, or set the environment's TMPDIR to a larger disk"


class Spool:
    """A context with a temporary folder of its own (4 bytes a pixel, exact), removed at its end.

    The folder lies where the environment's TMPDIR says. UserError when none can be made there.
    """

    def __init__(self) -> None:
        self._kept: list[Prediction] = []
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="vesselbench-predictions-")
        except OSError as error:
            raise UserError(f"cannot make a temporary folder: {error.strerror or error}", _CURE) from error

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._folder.cleanup()

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, prediction: Prediction) -> None:
        """Store one prediction; UserError when the disk refuses."""
        path = self._path(len(self._kept))
        try:
            np.save(path, prediction.probability, allow_pickle=False)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}", _CURE) from error
        self._kept.append(replace(prediction, probability=np.empty((0, 0), np.float32)))

    def get(self, number: int) -> Prediction:
        """The `number`-th prediction stored, bit for bit."""
        return replace(self._kept[number], probability=np.load(self._path(number), allow_pickle=False))

    def _path(self, number: int) -> Path:
        return Path(self._folder.name) / f"{number}.npy"
