"""The ledger of a test set: a line for every time it was scored, chained by SHA-256 so that no line can be changed.

A line holds the hash of the line before it. Whoever changes, removes or inserts one breaks the chain, and every
command that reads the ledger says so; nothing here repairs it. Cutting lines off the end leaves the chain whole: that
shows when a run whose scoring was entered (its ``eval/test/ledger.json``) is compared.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vesselbench.errors import UserError

FOLDER = "VESSELBENCH_LEDGER"
"""Environment variable: the folder of the ledgers, for a group that shares its test sets."""
FIRST = "0" * 64
"""What the first line follows."""
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"


@dataclass(frozen=True)
class Scoring:
    """Who was scored: no name of a person, a machine or a folder above the run's."""

    recipe: str
    model: str
    run: str
    """The run's folder below the runs folder."""
    seed: int | None
    weights_sha256: str
    primary: str


@dataclass(frozen=True)
class Entry:
    """A line of a ledger. `sha256` is that of the line itself, without its end."""

    number: int
    time: str
    scoring: Scoring
    previous: str
    sha256: str


@dataclass(frozen=True)
class Ledger:
    """All scorings of one test set. `faults`: sentences on what is broken; none when the chain is whole."""

    test_set: str
    path: Path
    entries: tuple[Entry, ...]
    faults: tuple[str, ...]


def ledger_folder() -> Path:
    """$VESSELBENCH_LEDGER, else ``vesselbench/ledger`` below $XDG_STATE_HOME or ~/.local/state.

    The user's own folder is the default because data folders are often read-only, shared, or under version control.
    """
    if given := os.environ.get(FOLDER):
        return Path(given).expanduser()
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "vesselbench" / "ledger"


def ledger_file(test_set: str) -> Path:
    """The ledger of the test set with this fingerprint."""
    return ledger_folder() / f"{test_set[:32]}.jsonl"


def read_ledger(test_set: str) -> Ledger:
    """Read and check the ledger of a test set; without a file it is empty. UserError when it cannot be read."""
    path = ledger_file(test_set)
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise _refused(path, "read", error) from error
    entries, faults = _checked(content)
    return Ledger(test_set, path, tuple(entries), tuple(faults))


def enter(test_set: str, scoring: Scoring) -> tuple[Entry, Ledger]:
    """Append a scoring and return its entry with the ledger as it was before.

    The line is appended whole, under a lock, and synced. A broken chain stays as it is: the new line follows the last
    one, whatever that is. UserError when the folder cannot be written: what cannot be recorded must not be scored.
    """
    path = ledger_file(test_set)
    try:
        with _locked(path):
            before = read_ledger(test_set)
            content = path.read_bytes() if path.is_file() else b""
            lines = content.split(b"\n") if content else []
            last = next((line for line in reversed(lines) if line), None)
            facts = {
                "number": len([line for line in lines if line]) + 1,
                "time": time.strftime(TIME_FORMAT),
                "test_set": test_set,
                **asdict(scoring),
                "previous": FIRST if last is None else _sha256(last),
            }
            line = json.dumps(facts, ensure_ascii=False).encode()
            _append(path, (b"" if not content or content.endswith(b"\n") else b"\n") + line + b"\n")
    except OSError as error:
        raise _refused(path, "write", error) from error
    return _entry(facts, line), before


def missing(ledger: Ledger, anchors: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for every run whose own note of its entry (`number`, `sha256`) the ledger does not hold."""
    held = {entry.number: entry.sha256 for entry in ledger.entries}
    return [
        f"entry {anchor['number']}, the scoring of {run}, is not in it: lines were cut off or exchanged, or it was "
        f"entered elsewhere ({FOLDER})"
        for run, anchor in anchors.items()
        if held.get(anchor["number"]) != anchor["sha256"]
    ]


def ledger_record(ledger: Ledger) -> dict[str, Any]:
    """As ``vesselbench data ledger --json`` prints it."""
    return {**asdict(ledger), "path": str(ledger.path)}


def _checked(content: bytes) -> tuple[list[Entry], list[str]]:
    entries, faults, previous = [], [], FIRST
    if content and not content.endswith(b"\n"):
        faults.append("the last line has no end: it was cut off")
    for number, line in enumerate((line for line in content.split(b"\n") if line), 1):
        try:
            facts = json.loads(line)
            entry = _entry(facts, line)
        except (ValueError, KeyError, TypeError) as error:
            faults.append(f"line {number} is no entry ({type(error).__name__})")
        else:
            entries.append(entry)
            if entry.previous != previous:
                faults.append(f"line {number} does not follow the line before it: one was changed, removed or inserted")
            elif entry.number != number:
                faults.append(f"line {number} says that it is entry {entry.number}")
        previous = _sha256(line)
    return entries, faults


def _entry(facts: Mapping[str, Any], line: bytes) -> Entry:
    scoring = Scoring(**{name: facts[name] for name in Scoring.__dataclass_fields__})
    return Entry(int(facts["number"]), str(facts["time"]), scoring, str(facts["previous"]), _sha256(line))


def _append(path: Path, content: bytes) -> None:
    with open(path, "ab") as file:
        size = file.tell()
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            file.truncate(size)  # no half line stays behind
            raise


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".lock"), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sha256(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _refused(path: Path, what: str, error: OSError) -> UserError:
    return UserError(
        f"cannot {what} the ledger of the test set, {path}: {error.strerror or error}",
        f"set {FOLDER} to a folder that you can write; every scoring of a test set is recorded",
    )
