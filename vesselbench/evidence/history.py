"""The history of a test set in a bundle: that its chain is whole, and that the compared runs are in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from vesselbench.evidence.differing import Difference
from vesselbench.evidence.recompute import Recomputed
from vesselbench.ledger import FIRST
from vesselbench.scored import ScoredRun

WITHHELD = "withheld"
HIDDEN = "entries of the ledger whose names are withheld have no hash that can be computed"
LEDGER_NOTE = "Ledger of the test set: "
"""How the notes of a comparison on its ledger begin."""


def without_history(record: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison's record without what only the ledger on the machine of its makers says."""
    notes = [note for note in record.get("notes") or () if not str(note).startswith(LEDGER_NOTE)]
    return {**record, "scorings": None, "notes": notes}


def hold_history(scorings: Any, runs: Sequence[ScoredRun], done: Recomputed) -> None:
    """Every entry has the hash of its line and follows the one before, and every run that is said to be in it is."""
    if not isinstance(scorings, Mapping):
        return
    previous = FIRST
    for number, entry in enumerate(scorings.get("entries") or (), 1):
        where = f"ledger, entry {number}"
        done.hold(entry.get("previous"), previous, f"{where}, previous")
        done.hold(entry.get("number"), number, f"{where}, number")
        scoring = entry.get("scoring") or {}
        if WITHHELD in (scoring.get("recipe"), scoring.get("run")):
            done.left_out[HIDDEN] += 1
        else:
            facts = {"number": entry.get("number"), "time": entry.get("time"), "test_set": scorings.get("test_set")}
            line = json.dumps({**facts, **scoring, "previous": entry.get("previous")}, ensure_ascii=False)
            done.hold(entry.get("sha256"), hashlib.sha256(line.encode()).hexdigest(), f"{where}, sha256")
        previous = str(entry.get("sha256"))
    entered = {(e["scoring"].get("run"), e["scoring"].get("weights_sha256")) for e in scorings.get("entries") or ()}
    for run in runs:
        if (
            run.where not in (scorings.get("unrecorded") or ())
            and (run.where, run.scores.weights_sha256) not in entered
        ):
            done.differences.append(Difference(f"ledger, {run.where}", "an entry of its scoring", "none"))
