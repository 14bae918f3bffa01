"""The history of a test set in a bundle: that its chain is whole, and that the compared runs are in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.scored import ScoredRun
from vesselbench.errors import UserError
from vesselbench.evidence.differing import Difference
from vesselbench.evidence.recompute import Recomputed
from vesselbench.ledger import FIRST, FOLDER, ledger_file, ledger_folder

WITHHELD = "withheld"
HIDDEN = "entries of the ledger: their names are withheld, which their hash covers"


def without_history(record: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison's record without what only the ledger on the machine of its makers says."""
    return {**record, "scorings": None}


def refuse_broken_history(comparison: Comparison) -> None:
    """UserError unless the ledger that is read here is whole and holds the scoring of every run that noted one.

    No verification of a bundle with another history could pass. The message names the folder in which a run noted its
    scoring.
    """
    scorings = comparison.scorings
    if scorings is None or scorings.test_set is None or not scorings.faults:
        return
    here, held = str(ledger_folder().resolve()), {entry.sha256 for entry in scorings.entries}
    seeds = [seed for contender in comparison.runs for seed in contender.seeds]
    entered = {seed.where: str(seed.anchor["ledger"]) for seed in seeds if seed.anchor and "ledger" in seed.anchor}
    absent = [seed.where for seed in seeds if seed.anchor and seed.anchor["sha256"] not in held]
    elsewhere = [run for run in absent if entered.get(run, here) != here]
    if elsewhere and len({entered.get(seed.where) for seed in seeds}) > 1:
        listed = ", ".join(f"{run} in {folder}" for run, folder in entered.items())
        again = f"score them again into one: vesselbench evaluate RUN, with one {FOLDER} for all"
        raise UserError(f"the runs were entered into ledgers of different folders: {listed}", again)
    if elsewhere:
        run, folder = elsewhere[0], entered[elsewhere[0]]
        said = f"the scoring of {run} was entered into the ledger in {folder}, not into that in {here}"
        raise UserError(said, f"{FOLDER}={folder} vesselbench bundle ...")
    path = ledger_file(scorings.test_set)
    hint = f"put back a whole copy of it, or set {FOLDER} to the folder of the ledger into which the runs were entered"
    raise UserError(f"the ledger of the test set, {path}, cannot be shown as evidence: {scorings.faults[0]}", hint)


def hold_history(scorings: Any, runs: Sequence[ScoredRun], done: Recomputed) -> None:
    """Every entry has the hash of its line and follows the one before, and every run that is said to be in it is.

    A ledger that states a fault of its own is one that `bundle` refuses.
    """
    if not isinstance(scorings, Mapping):
        done.differences.append(Difference("ledger", "the scorings of the test set", scorings))
        return
    done.hold(scorings.get("faults"), [], "ledger, faults")
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
