"""The stored figures of one machine, and what has become slower since: a bootstrap over rounds.

An entry's cost is the median of its seconds times the median rate of a reference that was timed beside each round: how
many operations of the reference the machine could have done meanwhile. A slow hour prolongs the rounds and lowers the
rate, so that it cancels; the ratio of two costs is what the code itself has become. Rounds are drawn anew with
replacement on both sides, seconds and rate of a round together (Efron and Tibshirani 1993, percentile interval).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vesselbench.benchmarking.figures import Figures, read_figures
from vesselbench.benchmarking.machine import Machine
from vesselbench.errors import UserError
from vesselbench.rundir import read_json, write_json

FOLDER = "VESSELBENCH_BASELINES"
"""Environment variable: another folder of baselines, to be shared by checkouts."""
HERE = Path(__file__).parent / "baselines"
LIMIT = 1.10
"""Ratio from which on an entry counts as slower."""
LEVEL, RESAMPLES, SEED = 0.95, 4000, 0
SAME_WORK = ("samples", "device", "dtype", "threads")
"""What must be equal for two measurements of an entry to be of the same work."""

Entries = Mapping[str, Figures]


@dataclass(frozen=True)
class Change:
    """Cost now over cost in the baseline, with the bounds of its interval: by the reference that speaks least for a
    change."""

    name: str
    ratio: float
    low: float
    high: float

    @property
    def is_suspect(self) -> bool:
        """Slower than the limit, and surely slower: reason enough to measure again."""
        return self.ratio > LIMIT and self.low > 1

    @property
    def is_regression(self) -> bool:
        """Surely slower than the limit."""
        return self.low > LIMIT

    @property
    def is_improvement(self) -> bool:
        return self.high < 1 / LIMIT

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.ratio:.2f} times its baseline, {LEVEL:.0%} interval {self.low:.2f} to {self.high:.2f}"
        )


def change_of(name: str, before: Figures, now: Figures) -> Change:
    """How the cost of one entry has changed."""
    found = []
    for reference in before.references:
        ratios = _costs(now, reference, SEED) / _costs(before, reference, SEED + 1)
        low, high = np.quantile(ratios, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        found.append(Change(name, _cost(now, reference) / _cost(before, reference), float(low), float(high)))
    if any(one.low <= 1 <= one.high for one in found):
        return min(found, key=lambda one: abs(np.log(one.ratio)))
    slowest = min(found, key=lambda one: one.low)
    return slowest if slowest.low > 1 else max(found, key=lambda one: one.high)


def _cost(figures: Figures, reference: str) -> float:
    return figures.median * float(np.median(figures.references[reference]))


def _costs(figures: Figures, reference: str, seed: int) -> np.ndarray:
    """`_cost` of rounds drawn anew, `RESAMPLES` times."""
    seconds, rates = np.array(figures.seconds), np.array(figures.references[reference])
    drawn = np.random.default_rng(seed).integers(len(seconds), size=(RESAMPLES, len(seconds)))
    return np.median(seconds[drawn], axis=1) * np.median(rates[drawn], axis=1)


def together(first: Figures, second: Figures) -> Figures:
    """The rounds of two measurements of one entry as one."""
    references = {name: rates + second.references[name] for name, rates in first.references.items()}
    return replace(first, seconds=first.seconds + second.seconds, references=references)


def other_work(before: Figures, now: Figures) -> list[str]:
    """What of `SAME_WORK` is no longer the same, in words."""
    pairs = [(key, getattr(before, key), getattr(now, key)) for key in SAME_WORK]
    return [f"{key} {then} then, {today} now" for key, then, today in pairs if then != today]


@dataclass(frozen=True)
class Baseline:
    """Figures of a machine, by the entry's name, and when and from which source they were measured."""

    machine: Machine
    measured: str
    source: str | None
    entries: Entries

    @property
    def path(self) -> Path:
        """Where it lies: a file per machine, below $VESSELBENCH_BASELINES or beside this module."""
        return baseline_file(self.machine)

    def write(self) -> Path | None:
        """Write it; an older one of this machine stays beside it under the name that is returned."""
        older = None
        if self.path.exists():
            older = self.path.with_name(f"{self.path.stem}-until-{time.strftime('%Y%m%d-%H%M%S')}.json")
            shutil.copyfile(self.path, older)
        entries = {name: figures.as_json() for name, figures in self.entries.items()}
        facts = {"fingerprint": self.machine.fingerprint, "machine": asdict(self.machine)}
        write_json(self.path, {**facts, "measured": self.measured, "source": self.source, "entries": entries})
        return older


def baseline_file(machine: Machine) -> Path:
    """The file of this machine's baseline, there or not."""
    given = os.environ.get(FOLDER)
    return (Path(given).expanduser() if given else HERE) / f"{machine.fingerprint}.json"


def read_baseline(machine: Machine) -> Baseline | None:
    """The stored one of this machine; None when there is none. UserError for a damaged file."""
    path = baseline_file(machine)
    if not path.is_file():
        return None
    values: Any = read_json(path)
    try:
        entries = {str(name): read_figures(figures, path) for name, figures in values["entries"].items()}
        found = Baseline(Machine(**values["machine"]), str(values["measured"]), values["source"], entries)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no baseline: {error!r}", "restore it from version control, or remove it") from None
    if found.machine != machine:
        raise UserError(
            f"{path} was measured on {found.machine.words}", "restore it from version control, or remove it"
        )
    return found
