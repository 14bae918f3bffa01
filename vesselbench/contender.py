"""One run as a comparison sees it: its scores of one set, what it cost, and how it was made (no torch)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vesselbench.errors import UserError
from vesselbench.recipes import read_yaml
from vesselbench.rundir import RunDir, read_json, read_jsonl
from vesselbench.types import ScoreRow, Scores, SetName, Split


@dataclass(frozen=True)
class Costs:
    """What a run took. None where the run could not measure it (peak memory without a GPU, say)."""

    train_seconds: float | None
    seconds_per_step: float | None
    samples_per_second: float | None
    steps: int
    batch_size: int
    parameters_total: int
    parameters_trainable: int
    peak_memory_bytes: int | None
    images_per_second: float | None
    """Prediction of the compared set."""
    device: str
    precision: str
    zero_stage: int
    world: int

    @property
    def samples_seen(self) -> int:
        """Optimizer steps times samples per step."""
        return self.steps * self.batch_size


@dataclass(frozen=True)
class Contender:
    """A finished run and its scores; `label` is unique within a comparison."""

    label: str
    run: RunDir
    record: Mapping[str, Any]
    config: Mapping[str, Any]
    split: Split
    scores: Scores
    summary: Mapping[str, Any]
    costs: Costs
    observer2: tuple[ScoreRow, ...] | None

    @property
    def where(self) -> str:
        """The run's folder below the runs folder: <recipe>/<time>-<4 hex>."""
        return "/".join(self.run.path.parts[-2:])

    @property
    def primary(self) -> str:
        return str(self.summary["primary"])

    @property
    def directions(self) -> dict[str, str]:
        """metric name -> "higher" or "lower", whichever is better."""
        return {name: str(entry["better"]) for name, entry in self.summary["metrics"].items()}

    def values(self, metric: str) -> list[float | None]:
        """One value per image, in the order of the comparison's images; None where it could not be computed."""
        return [row.values[metric] for row in self.scores.rows]


def read_contender(run: RunDir, set_name: SetName) -> Contender:
    """Read what a comparison needs of a run.

    Raises UserError when the run has not finished, the set has no scores, the scores do not cover the set exactly,
    or a key is missing; the message names the file and the key.
    """
    record = run.record()
    if record.get("status") != "finished":
        raise UserError(
            f"{run.path} has not finished (status: {record.get('status')})",
            "compare finished runs only: train it to the end",
        )
    scores, split = run.scores(set_name), run.split()
    folder = run.evaluation(set_name)
    summary = read_json(folder / "summary.json")
    for key in ("primary", "metrics", "images_per_second"):
        _need(summary, key, folder / "summary.json")
    _refuse_partial(run, scores.rows, split, set_name)
    if scores.fingerprint != split.fingerprint:
        raise UserError(
            f"{run.path} was scored on other data ({scores.fingerprint[:12]}) than it was trained on "
            f"({split.fingerprint[:12]})",
            f"vesselbench evaluate {run.path} --set {set_name}",
        )
    observer = run.observer_file(set_name)
    rows = tuple(ScoreRow(**row) for row in read_jsonl(observer)) if observer.is_file() else None
    costs = _costs(record, summary, run)
    label = str(_need(record, "recipe", run.record_file))
    return Contender(label, run, record, read_yaml(run.config), split, scores, summary, costs, rows)


def label_apart(names: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Recipe names where they are unique, else the name with the run's folder behind it."""
    return [name if names.count(name) == 1 else f"{name} {folder}" for name, folder in zip(names, folders, strict=True)]


def mean_of(values: Sequence[float | None]) -> float | None:
    """Mean of those that are not None; None when there are none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def median_of(values: Sequence[float | None]) -> float | None:
    """Median of those that are not None; None when there are none."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _refuse_partial(run: RunDir, rows: Sequence[ScoreRow], split: Split, set_name: SetName) -> None:
    scored, expected = [row.id for row in rows], split.sets.get(set_name, ())
    doubled = sorted(sample for sample, times in Counter(scored).items() if times > 1)
    missing, extra = sorted(set(expected) - set(scored)), sorted(set(scored) - set(expected))
    if doubled or missing or extra:
        parts = (("scored twice", doubled), ("not scored", missing), ("scored but not in the set", extra))
        what = "; ".join(f"{len(ids)} {word} ({', '.join(ids[:3])})" for word, ids in parts if ids)
        raise UserError(
            f"the scores of {run.path} do not cover its {set_name} set: {what}",
            f"vesselbench evaluate {run.path} --set {set_name}",
        )


def _costs(record: Mapping[str, Any], summary: Mapping[str, Any], run: RunDir) -> Costs:
    def need(key: str) -> Any:
        return _need(record, key, run.record_file)

    parameters = need("parameters")
    return Costs(
        train_seconds=need("train_seconds"),
        seconds_per_step=need("seconds_per_step"),
        samples_per_second=need("samples_per_second"),
        steps=int(need("steps")),
        batch_size=int(need("batch_size")),
        parameters_total=int(_need(parameters, "total", f"{run.record_file} parameters")),
        parameters_trainable=int(_need(parameters, "trainable", f"{run.record_file} parameters")),
        peak_memory_bytes=need("peak_memory_bytes"),
        images_per_second=summary["images_per_second"],
        device=str(need("device")),
        precision=str(need("precision")),
        zero_stage=int(need("zero_stage")),
        world=int(need("world")),
    )


def _need(values: Mapping[str, Any], key: str, where: object) -> Any:
    if key not in values:
        raise UserError(f"{where} has no {key!r}", "the run was made by another version: train and evaluate it again")
    return values[key]
