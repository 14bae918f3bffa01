"""Results of ``vesselbench bench`` below the runs folder, and which of them belongs to a run (no torch).

A result belongs to a run whose configuration is equal in everything that decides what a step or a prediction computes
(`cost_sha256`). Results of different machines are never shown together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vesselbench.benchmarking.figures import Figures, read_figures
from vesselbench.benchmarking.machine import Machine
from vesselbench.errors import UserError
from vesselbench.rundir import fresh_path, read_json, write_json

FOLDER = "benchmarks"
COSTLESS = frozenset(
    (
        *("steps", "epochs", "samples", "minutes", "lr", "lr_scale", "momentum", "betas", "weight_decay", "warmup"),
        *("schedule", "patience", "validate_first", "seed", "log_every", "validate_every", "save_every", "keep"),
        *("keep_best", "keep_state", "check_after", "timeout_minutes"),
    )
)
"""Keys of ``train`` that change no time of a step: its length, its rates, and what happens between steps."""


@dataclass(frozen=True)
class Benchmark:
    """One recipe on one machine."""

    recipe: str
    model: str
    measured: str
    """When, with the offset from UTC."""
    cost_sha256: str
    machine: Machine
    figures: tuple[Figures, ...]

    def of(self, what: str) -> Figures | None:
        """The figures of one entry; None where it was not measured (a model without training has no step)."""
        return next((one for one in self.figures if one.what == what), None)

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "fingerprint": self.machine.fingerprint,
            "figures": [one.as_json() for one in self.figures],
        }


def cost_sha256(config: Mapping[str, Any]) -> str:
    """SHA-256 of what a step and a prediction of a complete recipe (config.yaml) compute: model, data, and the keys of
    ``train`` that are not in `COSTLESS`. The device is left out: the machine's fingerprint holds it."""
    train = {key: value for key, value in (config.get("train") or {}).items() if key not in COSTLESS | {"device"}}
    text = json.dumps([config.get("model"), config.get("data"), train], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def keep(benchmark: Benchmark, runs: Path) -> Path:
    """Write it into a new file below `runs`."""
    path = fresh_path(runs, FOLDER).with_suffix(".json")
    write_json(path, benchmark.as_json())
    return path


def kept(runs: Path, say: Callable[[str], None]) -> list[Benchmark]:
    """All results below `runs`, newest first. One that is damaged is said and left out."""
    found = []
    for path in sorted((runs / FOLDER).glob("*.json"), reverse=True):
        try:
            found.append(_read(path))
        except UserError as error:
            say(f"{error.message}: left out")
    return found


@dataclass(frozen=True)
class Matched:
    """What belongs to some runs: results of one machine."""

    results: Mapping[str, Benchmark] = field(default_factory=dict)
    """By the run's label; none for a run of which this machine has no result."""
    elsewhere: int = 0
    """Results that would belong to one of the runs, and were measured on other machines."""

    @property
    def machine(self) -> Machine | None:
        return next((result.machine for result in self.results.values()), None)


def match(configs: Mapping[str, Mapping[str, Any]], results: Iterable[Benchmark]) -> Matched:
    """By label the newest result for each configuration that has one, all of ONE machine: that which has results for
    most of them, of equals the one measured last. `results`: newest first."""
    wanted = {label: cost_sha256(config) for label, config in configs.items()}
    belonging = [result for result in results if result.cost_sha256 in wanted.values()]
    by_machine: dict[str, dict[str, Benchmark]] = {}
    for result in belonging:
        of_machine = by_machine.setdefault(result.machine.fingerprint, {})
        for label, digest in wanted.items():
            if digest == result.cost_sha256:
                of_machine.setdefault(label, result)
    if not by_machine:
        return Matched()
    chosen = max(by_machine, key=lambda fingerprint: len(by_machine[fingerprint]))  # of equals the first: the newest
    return Matched(by_machine[chosen], sum(result.machine.fingerprint != chosen for result in belonging))


def _read(path: Path) -> Benchmark:
    values = read_json(path)
    try:
        texts = {key: str(values[key]) for key in ("recipe", "model", "measured", "cost_sha256")}
        machine = Machine(**values["machine"])
        figures = tuple(read_figures(one, path) for one in values["figures"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is no result of vesselbench bench: {error!r}", "remove it and measure again") from None
    return Benchmark(**texts, machine=machine, figures=figures)
