"""A run folder that was damaged is the user's error, with the file and the place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vesselbench.comparing.scored import read_scored
from vesselbench.errors import UserError
from vesselbench.rundir import RunDir, read_json, write_json

VALUES = {"x": 0.9, "y": 0.5}


@pytest.fixture
def run(write_run) -> RunDir:
    return write_run("a", VALUES, observer2=VALUES)


def change_line(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the second line of a file of JSON lines."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines[1])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


CHANGES = {
    "another metric": lambda row: row.update(values={"iou": 0.5}),
    "a text as value": lambda row: row["values"].update(dice="high"),
    "a truth value": lambda row: row["values"].update(dice=True),
    "values as a list": lambda row: row.update(values=[0.5]),
    "a number as id": lambda row: row.update(id=7),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("name", ["scores.jsonl", "observer2.jsonl"])
def test_a_damaged_row_is_named_by_file_and_line(run: RunDir, name: str, change: Callable[..., object]) -> None:
    change_line(run.evaluation("test") / name, change)
    with pytest.raises(UserError, match=f"{name} line 2") as caught:
        read_scored(run, "test")
    assert "evaluate" in caught.value.hint


@pytest.mark.parametrize("change", [lambda row: row.pop("group"), lambda row: row.update(more=1)])
def test_a_second_observers_row_with_other_keys_is_named(run: RunDir, change: Callable[..., object]) -> None:
    change_line(run.observer_file("test"), change)
    with pytest.raises(UserError, match=r"observer2\.jsonl line 2 is no row of scores"):
        read_scored(run, "test")


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": ["dice"]},
        {"metrics": {"dice": 0.5}},
        {"metrics": {"dice": {"mean": 0.5}}},
        {"metrics": {"dice": {"better": "sideways"}}},
        {"primary": "iou"},
        {"images_per_second": "fast"},
    ],
)
def test_a_damaged_summary_is_named(run: RunDir, changes: dict[str, Any]) -> None:
    path = run.evaluation("test") / "summary.json"
    write_json(path, {**read_json(path), **changes})
    with pytest.raises(UserError, match=r"summary\.json"):
        read_scored(run, "test")


@pytest.mark.parametrize(
    "changes",
    [{"steps": None}, {"world": "two"}, {"parameters": 5}, {"parameters": {"total": 1}}, {"train_seconds": "1"}],
)
def test_a_damaged_record_is_named(run: RunDir, changes: dict[str, Any]) -> None:
    run.update(**changes)
    with pytest.raises(UserError, match=r"run\.json"):
        read_scored(run, "test")
