"""What an unfinished evaluation has scored so far, so that one which was stopped goes on where it was."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vesselbench.data.masks import mask_sha256
from vesselbench.evaluation.conventions import Tables
from vesselbench.rundir import RunDir, append_jsonl, write_jsonl
from vesselbench.types import ScoreRow, SetName

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """One image: the model's row, the second observer's, the seconds of its prediction; matrices of conventions."""

    row: ScoreRow
    observer2: ScoreRow | None
    seconds: float
    tables: Tables | None = None


class Journal:
    """The images that are scored, one a line, below a first line that says of what. Whoever completes the evaluation
    removes the file.

    What was scored of other weights, data, thresholds or metrics (an unlike `key`) is forgotten. An image whose stored
    mask is missing or damaged is named in a warning and not taken over. `done`: what is taken over, by id.
    """

    def __init__(self, run: RunDir, set_name: SetName, key: Mapping[str, Any]) -> None:
        self._run, self._set, self._lock = run, set_name, threading.Lock()
        self._path = run.unfinished_file(set_name)
        self.done = self._read(key)
        write_jsonl(self._path, [{"key": key}, *(_line(scored) for scored in self.done.values())])
        if self.done:
            log.info("%d images of the %s set were scored before it was stopped; it goes on", len(self.done), set_name)

    def add(self, scored: Scored) -> None:
        """Note an image whose mask is stored; from any thread."""
        with self._lock:
            append_jsonl(self._path, _line(scored))

    def _read(self, key: Mapping[str, Any]) -> dict[str, Scored]:
        if not self._path.is_file():
            return {}
        head, *lines = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        if _parsed(head) != {"key": json.loads(json.dumps(key))}:
            return {}
        found = {}
        for line in lines:
            scored = _scored(_parsed(line))
            if scored is not None and self._is_stored(scored.row):
                found[scored.row.id] = scored
        return found

    def _is_stored(self, row: ScoreRow) -> bool:
        path = self._run.prediction_file(self._set, row.id)
        if _stored_sha256(path) == row.mask_sha256:
            return True
        log.warning("%s is damaged or missing: that image is predicted again", path)
        return False


def _stored_sha256(path: Path) -> str | None:
    try:
        with Image.open(path) as image:
            return mask_sha256(np.asarray(image).astype(np.bool_))
    except (OSError, ValueError, SyntaxError):  # PIL's ways to say that a PNG is not whole
        return None


def _line(scored: Scored) -> dict[str, Any]:
    return asdict(scored)


def _parsed(line: str) -> Any:
    """The line's value; None for the half line that a killed process leaves."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def _scored(value: Any) -> Scored | None:
    if value is None:
        return None
    try:
        human = None if value["observer2"] is None else ScoreRow(**value["observer2"])
        tables = None if value["tables"] is None else Tables(**value["tables"])
        return Scored(ScoreRow(**value["row"]), human, float(value["seconds"]), tables)
    except (KeyError, TypeError) as error:
        log.warning("a line of an unfinished evaluation is damaged (%r): that image is predicted again", error)
        return None
