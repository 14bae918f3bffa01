"""The log of a training that another program made (mmengine's, as Sa2VA's official training writes it)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vesselbench.errors import UserError
from vesselbench.report.training.history import TOTAL, History, Row, Work, is_loss

Counted = Literal["micro-batches", "optimizer-steps"]
KINDS = {"micro-batches": "a micro-batch of each process", "optimizer-steps": "an optimizer step"}

LINE = re.compile(
    r"(?:Iter|Epoch)\(train\)\s*(?:\[\s*(?P<epoch>\d+)\])?\s*"
    r"\[\s*(?P<iteration>\d+)/\s*(?P<length>\d+)\]"
)
VALUE = re.compile(r"(?<![\w.])([A-Za-z_]\w*):\s+(-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![\w:.])")
KEPT = {"lr": "lr", "grad_norm": "grad_norm", "time": "seconds_each", "data_time": "data_each"}
"""Values of mmengine's log that are no loss, and the names they get here; times are per iteration."""


@dataclass(frozen=True)
class LogFacts:
    """What the log itself does not say, and nobody may guess.

    `counted`: what an iteration is; `world`: processes; `micro_batch`: samples per process and forward pass;
    `accumulation`: micro-batches per optimizer step; `training_set`: samples of the training set; `epochs`: of the
    whole log, as its program counts them.
    """

    counted: Counted
    world: int = 1
    micro_batch: int = 1
    accumulation: int = 1
    training_set: int | None = None
    epochs: int | None = None


def read_log(path: Path, facts: LogFacts) -> History:
    """An mmengine log: its JSON lines (``vis_data/scalars.json``) or its text (``<time>.log``).

    UserError when no line of training is in it, or iterations do not rise.
    """
    entries, length = _entries(path)
    if not entries:
        raise UserError(
            f"{path} holds no line of a training that is understood",
            "give mmengine's log (Iter(train) [ 10/3672] ... loss: ...) or its vis_data/scalars.json",
        )
    per_step = facts.accumulation if facts.counted == "micro-batches" else 1
    rows = tuple(Row(number / per_step, number, _values(found, per_step)) for number, found in sorted(entries.items()))
    if not any(TOTAL in row.values for row in rows):
        raise UserError(f"{path} logs no {TOTAL!r}", "give the log of a training")
    iterations = max(length, rows[-1].logged)
    notes = [
        f"An iteration of the log is {KINDS[facts.counted]}: the command said so. mmengine averages the values that it "
        "logs over its last 10 iterations, unless it is told otherwise."
    ]
    if rows[-1].logged < length:
        notes.append(f"The log ends at iteration {rows[-1].logged:,} of {length:,}: totals are for {length:,}.")
    return History(
        label=path.name,
        source=str(path),
        counted="micro-batch" if facts.counted == "micro-batches" else "optimizer step",
        rows=rows,
        validations=(),
        checkpoints=(),
        work=_work(iterations, facts),
        seconds=_seconds(rows, iterations),
        notes=tuple(notes),
    )


def _work(iterations: int, facts: LogFacts) -> Work:
    steps = iterations // facts.accumulation if facts.counted == "micro-batches" else iterations
    micro_batches = iterations if facts.counted == "micro-batches" else iterations * facts.accumulation
    return Work(
        optimizer_steps=steps,
        samples=micro_batches * facts.world * facts.micro_batch,
        micro_batches=micro_batches,
        world=facts.world,
        micro_batch=facts.micro_batch,
        accumulation=facts.accumulation,
        training_set=facts.training_set,
        epochs=facts.epochs,
    )


def _values(found: Mapping[str, float], per_step: int) -> dict[str, float]:
    """Losses under their own names; times for an optimizer step, as in our own logs."""
    values = {name: value for name, value in found.items() if is_loss(name)}
    for name, ours in KEPT.items():
        if name in found:
            values[ours] = found[name]
    if "seconds_each" in values:
        values["seconds"] = values.pop("seconds_each") * per_step
    if "data_each" in values:
        values["data_seconds"] = values.pop("data_each") * per_step
    return values


def _seconds(rows: tuple[Row, ...], iterations: int) -> float | None:
    """Mean logged time per iteration, for all of them."""
    each = [row.values["seconds"] * row.step / row.logged for row in rows if "seconds" in row.values and row.logged]
    return sum(each) / len(each) * iterations if each else None


def _entries(path: Path) -> tuple[dict[int, dict[str, float]], int]:
    """Values by iteration, and the number of iterations that the log names (0: none)."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}", "give a run folder, or the log of a training") from None
    entries: dict[int, dict[str, float]] = {}
    length = 0
    for line in text.splitlines():
        read = _json_line(line) if line.startswith("{") else _text_line(line)
        if read is not None:
            number, values, named = read
            if number in entries and entries[number] != values:
                raise UserError(
                    f"{path} tells of iteration {number} twice, differently",
                    "give the log of one training; two of them stand in this file",
                )
            entries[number], length = values, max(length, named)
    return entries, length


def _json_line(line: str) -> tuple[int, dict[str, float], int] | None:
    try:
        found: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    number = found.get("iter", found.get("step"))
    if not isinstance(number, int) or TOTAL not in found:
        return None  # a line of a validation, or of the configuration
    numbers = {name: float(value) for name, value in found.items() if isinstance(value, int | float)}
    return number, numbers, 0


def _text_line(line: str) -> tuple[int, dict[str, float], int] | None:
    place = LINE.search(line)
    if place is None:
        return None
    number, length = int(place["iteration"]), int(place["length"])
    if place["epoch"]:
        number += (int(place["epoch"]) - 1) * length
        length = 0  # of one epoch: not of the training
    values = {name: float(value) for name, value in VALUE.findall(line[place.end() :])}
    return number, values, length
