"""A training that was ended between two steps goes on as if it had not been, at every stage, in this process."""

from __future__ import annotations

import json

import pytest

from vesselbench.plugins import load_catalogue
from vesselbench.recipes import validate_recipe
from vesselbench.rundir import RunDir, runs_of
from vesselbench.training.loop import train
from vesselbench.watch import Silent

CATALOGUE = load_catalogue("monai")


NUMBERS = ("step", "loss", "lr", "grad_norm")
"""Start of the names of what must be equal; the rest of a line is time and memory."""


class EndedError(Exception):
    """What a test ends a training with."""


class EndAt(Silent):
    """Ends the training when step `step` was done, before anything follows it."""

    def __init__(self, step: int) -> None:
        self.step, self.lines = step, []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, task, done, total, values=None) -> None:
        if task == "train" and done == self.step:
            raise EndedError


def recipe(stage: int, **train):
    settings = {
        "steps": 8,
        "batch_size": 2,
        "log_every": 1,
        "save_every": 2,
        "validate_every": 4,
        "device": "cpu",
        "zero_stage": stage,
        **train,
    }
    return validate_recipe(
        {
            "name": "x",
            "model": {"name": "unet", "channels": [4, 8], "dropout": 0.2},
            "data": {"options": {"images": 12, "size": 64, "per_group": 2}},
            "train": settings,
        },
        CATALOGUE,
    )


def rows(run: RunDir) -> list[dict]:
    read = [json.loads(line) for line in run.train_log.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key.startswith(NUMBERS)} for row in read]


@pytest.mark.parametrize(
    ("stage", "precision"), [(0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (3, "bf16"), (0, "bf16")]
)
def test_the_losses_and_the_best_score_after_a_resume_are_those_without_one(stage, precision, tmp_path, device):
    wanted = recipe(stage, precision=precision)
    whole = train(wanted, CATALOGUE, tmp_path / "whole", Silent())
    with pytest.raises(EndedError):
        train(wanted, CATALOGUE, tmp_path / "cut", EndAt(8))
    (cut,) = runs_of(tmp_path / "cut")
    watch = EndAt(99)
    again = train(wanted, CATALOGUE, tmp_path / "cut", watch, cut)
    assert "resumed at step 6" in watch.lines
    assert any("1 lines of train.jsonl" in line for line in watch.lines)
    assert rows(again) == rows(whole)
    assert again.record()["best_score"] == whole.record()["best_score"]
