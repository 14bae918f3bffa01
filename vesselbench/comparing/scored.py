"""One finished run as a comparison sees it: its scores of one set, what it cost, and how it was made (no torch)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesselbench.declared import Declared, read_declared
from vesselbench.errors import UserError
from vesselbench.recipes import read_yaml
from vesselbench.rundir import RunDir, read_json, read_jsonl
from vesselbench.types import ScoreRow, Scores, SetName, Split

DAMAGED = "the file was damaged after it was written: evaluate the run again"


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
class Validation:
    """What the validation set said during training: `train_seconds` are those of all steps so far."""

    step: int
    train_seconds: float
    means: Mapping[str, float | None]


@dataclass(frozen=True)
class ScoredRun:
    """A finished run and its scores of one set: one model, one seed."""

    run: RunDir
    record: Mapping[str, Any]
    config: Mapping[str, Any]
    split: Split
    scores: Scores
    summary: Mapping[str, Any]
    costs: Costs
    declared: Declared | None
    """What was fixed before the test set was scored; None in a run of a version that wrote nothing down."""
    validations: tuple[Validation, ...]
    observer2: tuple[ScoreRow, ...] | None
    anchor: Mapping[str, Any] | None
    """Its line in the ledger of the test set: `test_set`, `number`, `sha256`, and the folder of the `ledger`, which
    runs of older versions did not note; None when it has none."""

    @property
    def where(self) -> str:
        """The run's folder below the runs folder: <recipe>/<time>-<4 hex>."""
        return "/".join(self.run.path.parts[-2:])

    @property
    def seed(self) -> int | None:
        seed = self.record.get("seed")
        return seed if isinstance(seed, int) else None

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


def read_scored(run: RunDir, set_name: SetName) -> ScoredRun:
    """Read what a comparison needs of a run.

    Raises UserError when the run has not finished, the set has no scores, the scores do not cover the set exactly,
    or a key is missing or of another kind; the message names the file and the key or the line.
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
    _check_summary(summary, folder / "summary.json")
    check_rows(scores.rows, summary["metrics"], folder / "scores.jsonl")
    _refuse_partial(run, scores.rows, split, set_name)
    if scores.fingerprint != split.fingerprint:
        raise UserError(
            f"{run.path} was scored on other data ({scores.fingerprint[:12]}) than it was trained on "
            f"({split.fingerprint[:12]})",
            f"vesselbench evaluate {run.path} --set {set_name}",
        )
    observer = run.observer_file(set_name)
    rows = _observer_rows(observer, summary["metrics"]) if observer.is_file() else None
    costs = _costs(record, summary, run)
    _need(record, "recipe", run.record_file)
    declared = read_declared(record, run.record_file)
    config = read_yaml(run.config)
    anchor = _anchor(run, set_name, scores.weights_sha256)
    return ScoredRun(run, record, config, split, scores, summary, costs, declared, _validations(run), rows, anchor)


def _anchor(run: RunDir, set_name: SetName, weights: str) -> Mapping[str, Any] | None:
    """Where the ledger holds the scoring of these weights, as the run wrote it down."""
    path = run.ledger_file(set_name)
    if not path.is_file():
        return None
    held = read_json(path)
    if not isinstance(held, dict) or not {"test_set", "number", "sha256", "weights_sha256"} <= held.keys():
        raise UserError(f"{path} is no entry of a ledger", DAMAGED)
    return held if held["weights_sha256"] == weights else None


def _validations(run: RunDir) -> tuple[Validation, ...]:
    """The lines of validations.jsonl; none in a run of a version that wrote none."""
    found = []
    for number, line in enumerate(read_jsonl(run.validation_log) if run.validation_log.is_file() else (), 1):
        try:
            found.append(Validation(int(line["step"]), float(line["train_seconds"]), dict(line["means"])))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{run.validation_log} line {number} is no validation: {error!r}", DAMAGED) from None
    return tuple(found)


def _check_summary(summary: Any, path: Path) -> None:
    """Refuse a summary.json that lacks what a comparison needs."""
    if not isinstance(summary, dict):
        raise UserError(f"{path} is no mapping", DAMAGED)
    for key in ("primary", "metrics", "images_per_second"):
        _need(summary, key, path)
    metrics = summary["metrics"]
    if not isinstance(metrics, dict) or not all(isinstance(entry, dict) for entry in metrics.values()):
        raise UserError(f"{path}: 'metrics' is no mapping of metrics", DAMAGED)
    for name, entry in metrics.items():
        if _need(entry, "better", f"{path} metrics.{name}") not in ("higher", "lower"):
            raise UserError(f"{path}: metrics.{name}.better is {entry['better']!r}", DAMAGED)
    if summary["primary"] not in metrics:
        raise UserError(f"{path}: the primary metric {summary['primary']!r} is none of its metrics", DAMAGED)


def check_rows(rows: Sequence[ScoreRow], metrics: Iterable[str], path: Path) -> None:
    """Refuse rows that are not one finite number or None per metric; UserError names file and line."""
    names = set(metrics)
    for number, row in enumerate(rows, 1):
        where = f"{path} line {number}"
        if not isinstance(row.id, str) or not isinstance(row.group, str) or not isinstance(row.values, Mapping):
            raise UserError(f"{where} is no row of scores", DAMAGED)
        if set(row.values) != names:
            raise UserError(f"{where} has values of {sorted(row.values)}, not of {sorted(names)}", DAMAGED)
        for name, value in row.values.items():
            if value is not None and not _is_number(value):
                raise UserError(f"{where}: {name} is {value!r}, no number", DAMAGED)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _observer_rows(path: Path, metrics: Iterable[str]) -> tuple[ScoreRow, ...]:
    rows = []
    for number, record in enumerate(read_jsonl(path), 1):
        try:
            rows.append(ScoreRow(**record))
        except TypeError as error:
            raise UserError(f"{path} line {number} is no row of scores: {error}", DAMAGED) from None
    check_rows(rows, metrics, path)
    return tuple(rows)


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
    def measured(key: str) -> float | None:
        return None if _need(record, key, run.record_file) is None else number(key)

    def number(key: str, held: Any = record, where: str = "") -> Any:
        value = _need(held, key, f"{run.record_file}{where}")
        if not _is_number(value):
            raise UserError(f"{run.record_file}{where}: {key!r} is {value!r}, no number", DAMAGED)
        return value

    parameters, speed = _need(record, "parameters", run.record_file), summary["images_per_second"]
    if not isinstance(parameters, dict):
        raise UserError(f"{run.record_file}: 'parameters' is no mapping", DAMAGED)
    if speed is not None and not _is_number(speed):
        raise UserError(f"summary.json of {run.path}: 'images_per_second' is {speed!r}, no number", DAMAGED)
    peak = measured("peak_memory_bytes")
    return Costs(
        train_seconds=measured("train_seconds"),
        seconds_per_step=measured("seconds_per_step"),
        samples_per_second=measured("samples_per_second"),
        steps=int(number("steps")),
        batch_size=int(number("batch_size")),
        parameters_total=int(number("total", parameters, " parameters")),
        parameters_trainable=int(number("trainable", parameters, " parameters")),
        peak_memory_bytes=None if peak is None else int(peak),
        images_per_second=speed,
        device=str(_need(record, "device", run.record_file)),
        precision=str(_need(record, "precision", run.record_file)),
        zero_stage=int(number("zero_stage")),
        world=int(number("world")),
    )


def _need(values: Mapping[str, Any], key: str, where: object) -> Any:
    if key not in values:
        raise UserError(f"{where} has no {key!r}", "the run was made by another version: train and evaluate it again")
    return values[key]
