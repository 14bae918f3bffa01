"""``python -m benchmarks.gate``: measure all benchmarks and hold them against this machine's baseline.

Exit codes: 0 nothing is slower (or the baseline is new), 1 a benchmark failed, 2 a mistake, 3 an entry has become
slower, which a second measurement of it has confirmed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.baseline import (
    LIMIT,
    Baseline,
    Change,
    Entries,
    baseline_file,
    change_of,
    other_work,
    read_baseline,
    together,
)
from vesselbench.benchmarking.figures import Figures, read_figures
from vesselbench.benchmarking.machine import Machine
from vesselbench.comparing.gates import GATE_FAILED
from vesselbench.errors import UserError
from vesselbench.provenance import source_revision
from vesselbench.rundir import read_json

RESULT = Path("benchmark.json")
AGAIN = Path("benchmark-again.json")
ACCEPT = "python -m benchmarks.gate --accept"
PATIENCE = 1800
"""Seconds that an entry may take, hung or not: on a busy machine it is measured all the same; the references say so."""
Measure = Callable[[Sequence[str], Path], None]
"""Runs pytest with such words and leaves its results in that file."""


@dataclass(frozen=True)
class Measured:
    """What one run of pytest left."""

    machine: Machine
    entries: Entries


class BenchmarksFailedError(Exception):
    """pytest ended with this exit code; it has said why."""


def run_pytest(words: Sequence[str], result: Path) -> None:
    """`Measure` by pytest itself, in a process of its own."""
    command = [sys.executable, "-m", "pytest", *words, f"--timeout={PATIENCE}", f"--benchmark-json={result}"]
    if code := subprocess.run(command, check=False).returncode:
        raise BenchmarksFailedError(code)


def read_measured(path: Path) -> Measured:
    """Figures by entry from pytest-benchmark's JSON; UserError when an entry has none or two were made apart."""
    entries, machines = {}, {}
    for one in read_json(path)["benchmarks"]:
        noted = one["extra_info"]
        if "figures" not in noted:
            raise UserError(f"{one['fullname']} noted no figures", "let it measure through the fixture `timed`")
        entries[one["fullname"]] = read_figures(noted["figures"], path)
        machines[str(noted["machine"])] = Machine(**noted["machine"])
    if len(machines) != 1:
        raise UserError(f"{path} holds figures of {len(machines)} machines", "measure again")
    return Measured(next(iter(machines.values())), entries)


def hold(measured: Measured, measure: Measure, say: Callable[[str], None]) -> int:
    """Compare with this machine's baseline, measure again what seems slower; returns the exit code."""
    known, today = read_baseline(measured.machine), time.strftime("%Y-%m-%dT%H:%M:%S%z")
    path = baseline_file(measured.machine)
    if known is None:
        Baseline(measured.machine, today, source_revision(), measured.entries).write()
        say(f"no baseline of this machine ({measured.machine.words}): stored these {len(measured.entries)} in {path}")
        return 0
    say(f"baseline {path}, measured {known.measured} on {known.machine.words}")
    changes = compare(known.entries, measured.entries, say)
    new = {name: figures for name, figures in measured.entries.items() if name not in known.entries}
    if new:
        replace(known, entries={**known.entries, **new}).write()
        say(f"{len(new)} entries are new and were added to the baseline: {', '.join(new)}")
    if absent := sorted(known.entries.keys() - measured.entries.keys()):
        say(f"{len(absent)} entries of the baseline were not measured: {', '.join(absent)}")
    faster = [change for change in changes if change.is_improvement]
    for change in faster:
        say(f"faster: {change}")
    if faster:
        say(f"what is faster becomes the measure by: {ACCEPT}")
    suspects = [change.name for change in changes if change.is_suspect]
    return _confirmed(suspects, known.entries, measured.entries, measure, say)


def compare(before: Entries, now: Entries, say: Callable[[str], None]) -> list[Change]:
    """The change of each entry that both have; one that does other work now is named and left out."""
    changes = []
    for name in sorted(now.keys() & before.keys()):
        if unlike := other_work(before[name], now[name]):
            say(f"not compared, its work is another now: {name} ({'; '.join(unlike)}); {ACCEPT}")
            continue
        changes.append(change_of(name, before[name], now[name]))
    say(f"{len(changes)} entries compared")
    return changes


def _confirmed(
    suspects: Sequence[str], before: Entries, first: Entries, measure: Measure, say: Callable[[str], None]
) -> int:
    """Measure again what seems slower, and say what `is_confirmed`; returns the exit code."""
    if not suspects:
        say("none has become slower")
        return 0
    for name in suspects:
        say(f"seems slower, is measured again: {change_of(name, before[name], first[name])}")
    measure(suspects, AGAIN)
    again, slower = read_measured(AGAIN).entries, []
    for name in suspects:
        confirmed, both = is_confirmed(name, before[name], first[name], again[name])
        if confirmed:
            slower.append(both)
        else:
            alone = change_of(name, before[name], again[name])
            say(f"not confirmed: the second time {alone}; both together {both.low:.2f} to {both.high:.2f}")
    for change in slower:
        say(f"SLOWER: {change}")
    if not slower:
        say("none has become slower")
        return 0
    say(f"{len(slower)} of {len(before)} entries became slower; if that is meant: {ACCEPT}")
    return GATE_FAILED


def is_confirmed(name: str, before: Figures, first: Figures, second: Figures) -> tuple[bool, Change]:
    """Whether an entry is slower by two measurements: the second one alone is beyond the limit, and so is the whole
    interval of both together, which is returned."""
    both = change_of(name, before, together(first, second))
    return change_of(name, before, second).ratio > LIMIT and both.is_regression, both


def accept(measured: Measured, say: Callable[[str], None]) -> None:
    """Make these figures the baseline; entries that were not measured keep theirs, and the old file stays."""
    known = read_baseline(measured.machine)
    entries = {**(known.entries if known else {}), **measured.entries}
    made = Baseline(measured.machine, time.strftime("%Y-%m-%dT%H:%M:%S%z"), source_revision(), entries)
    older = made.write()
    say(f"{len(measured.entries)} entries accepted into {made.path}{f'; the old one is {older}' if older else ''}")


def main(words: Sequence[str]) -> int:
    """The command; words that it does not know go to pytest (a file, ``-k decode``)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__.splitlines()[0])
    parser.add_argument("--accept", action="store_true", help=f"make {RESULT} the baseline, without measuring")
    options, others = parser.parse_known_args(words)
    try:
        if options.accept:
            accept(read_measured(RESULT), _say)
            return 0
        run_pytest(others or ["benchmarks/"], RESULT)
        return hold(read_measured(RESULT), run_pytest, _say)
    except BenchmarksFailedError:
        return 1
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
