"""What an unfinished evaluation has scored so far, so that one which was stopped goes on where it was."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vesselbench.data.masks import mask_sha256
from vesselbench.evaluation.conventions import Tables
from vesselbench.evaluation.notes import Notes
from vesselbench.rundir import UNFINISHED, RunDir
from vesselbench.types import BoolMask, ScoreRow, SetName

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scored:
    """One image: the model's row, the second observer's, the seconds of its prediction; matrices of conventions."""

    row: ScoreRow
    observer2: ScoreRow | None
    seconds: float
    tables: Tables | None = None


class Journal:
    """The images that are scored, noted as they are done. Whoever completes the evaluation removes the notes.

    What was scored of other weights, data, thresholds or metrics (an unlike `key`) is forgotten. An image whose stored
    mask is missing or damaged is named in a warning and not taken over. `done`: what is taken over, by id, the same on
    every rank.
    """

    def __init__(self, run: RunDir, set_name: SetName, key: Mapping[str, Any]) -> None:
        self._run, self._set = run, set_name
        self._notes = Notes(run.evaluation(set_name), UNFINISHED, key, self._parsed)
        self.done = self._notes.before

    def add(self, scored: Scored) -> None:
        """Note an image whose mask is stored; from any thread."""
        self._notes.add(scored)

    def _parsed(self, value: Any) -> tuple[str, Scored] | None:
        human = None if value["observer2"] is None else ScoreRow(**value["observer2"])
        tables = None if value["tables"] is None else Tables(**value["tables"])
        scored = Scored(ScoreRow(**value["row"]), human, float(value["seconds"]), tables)
        path = self._run.prediction_file(self._set, scored.row.id)
        if stored_mask(path, scored.row.mask_sha256) is None:
            log.warning("%s is damaged or missing: that image is predicted again", path)
            return None
        return scored.row.id, scored


def stored_mask(path: Path, sha256: str) -> BoolMask | None:
    """A predicted mask bool [H,W] that was written as PNG; None unless it is whole and the one with that hash."""
    try:
        with Image.open(path) as image:
            mask = np.asarray(image).astype(np.bool_)
    except (OSError, ValueError, SyntaxError):  # PIL's ways to say that a PNG is not whole
        return None
    return mask if mask_sha256(mask) == sha256 else None
