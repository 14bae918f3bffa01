"""A training that was ended between two steps goes on as if it had not been, at every stage, in this process.

Average, patience, first validation and base weights too."""

from __future__ import annotations

import json
import signal

import pytest
import torch

from tests.base_folder import write_base
from vesselbench import UserError
from vesselbench.jobs import StoppedError
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import model_settings, validate_recipe
from vesselbench.rundir import RunDir, file_sha256, runs_of
from vesselbench.training.loop import train
from vesselbench.training.telemetry import RECENT, StepClock
from vesselbench.watch import Silent

CATALOGUE, SA2VA = load_catalogue("monai"), load_catalogue("sa2va")

NUMBERS = ("step", "loss", "lr", "grad_norm")
"""Start of the names of what must be equal; the rest of a line is time and memory."""


class EndedError(Exception):
    """What a test ends a training with."""


class StopWhile(Silent):
    """Asks the training to stop, as a batch system does, at the `time`-th report of a task (each of them once)."""

    def __init__(self, task: str, time: int) -> None:
        self.task, self.time, self.lines = task, time, []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, task, done, total, values=None) -> None:
        del done, total, values
        self.time -= task == self.task
        if task == self.task and self.time == 0:
            signal.raise_signal(signal.SIGTERM)


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


EARLY = {"ema": 0.5, "patience": 2, "lr": 1e-6, "steps": 24, "validate_every": 2, "validate_first": True}
"""An average, and so small steps that patience ends the training before its budget does."""


@pytest.mark.parametrize("stage", [0, 3])
def test_average_patience_and_the_step_it_stops_at_come_back(stage, tmp_path, device):
    wanted = recipe(stage, **EARLY)
    whole = train(wanted, CATALOGUE, tmp_path / "whole", Silent())
    record = whole.record()
    assert record["stopped_early"]
    assert record["steps"] == 6, "one validation is better than none, two are not better"

    with pytest.raises(EndedError):
        train(wanted, CATALOGUE, tmp_path / "cut", EndAt(record["steps"] - 1))
    (cut,) = runs_of(tmp_path / "cut")
    again = train(wanted, CATALOGUE, tmp_path / "cut", Silent(), cut)
    assert rows(again) == rows(whole)
    kept = ("steps", "validations", "best_score", "best_step", "last_step", "stopped_early", "first_score")
    assert {key: again.record()[key] for key in kept} == {key: record[key] for key in kept}
    for name in ("weights.safetensors", "state-average.safetensors", "state-optimizer.safetensors"):
        file = f"checkpoints/{record['last_step']}/{name}"
        assert file_sha256(again.path / file) == file_sha256(whole.path / file), name


def test_a_stop_within_any_validation_leaves_best_score_and_patience_as_they_are(tmp_path, device):
    """Each validation is stopped once; the checkpoint of its step is there already when it is done again."""
    wanted = recipe(0, **EARLY)
    whole = train(wanted, CATALOGUE, tmp_path / "whole", Silent())
    reports = len(whole.scores("val").rows)
    watch, cut = StopWhile("validate", reports + 1), None
    stopped = []
    for _ in range(whole.record()["validations"]):
        with pytest.raises(StoppedError, match="SIGTERM"):
            train(wanted, CATALOGUE, tmp_path / "cut", watch, cut)
        (cut,) = runs_of(tmp_path / "cut")
        stopped.append(cut.record()["last_step"])
        assert "SIGTERM: saving after the step under way" in watch.lines[-2]
        watch = StopWhile("validate", 1 + reports + 1)  # the check of one image, the validation owed, and then the next
    assert stopped == [2, 4, 6]
    again = train(wanted, CATALOGUE, tmp_path / "cut", Silent(), cut)
    assert rows(again) == rows(whole)
    kept = ("steps", "validations", "best_score", "best_step", "last_step", "stopped_early", "first_score", "threshold")
    assert {key: again.record()[key] for key in kept} == {key: whole.record()[key] for key in kept}
    assert scored(again) == scored(whole)


def scored(run: RunDir) -> list[tuple]:
    lines = [json.loads(line) for line in run.validation_log.read_text().splitlines()]
    return [(line["step"], line["means"], line["threshold"]) for line in lines]


def test_a_stop_while_the_best_checkpoint_is_scored_ends_there(tmp_path, device):
    wanted = recipe(0, steps=2)
    with pytest.raises(StoppedError):
        train(wanted, CATALOGUE, tmp_path, StopWhile("score val", 1))
    (cut,) = runs_of(tmp_path)
    assert cut.record()["status"] == "interrupted"
    assert train(wanted, CATALOGUE, tmp_path, Silent(), cut).record()["status"] == "finished"


@pytest.mark.parametrize("step", [1, 2])
def test_a_run_that_ended_before_its_first_checkpoint_validates_first_again(step, tmp_path, device):
    wanted = recipe(0, validate_first=True, steps=2, save_every=0)
    whole = train(wanted, CATALOGUE, tmp_path / "whole", Silent())
    with pytest.raises(EndedError):
        train(wanted, CATALOGUE, tmp_path / "cut", EndAt(step))
    (cut,) = runs_of(tmp_path / "cut")
    again = train(wanted, CATALOGUE, tmp_path / "cut", Silent(), cut)
    assert rows(again) == rows(whole)
    assert again.record()["first_score"] == whole.record()["first_score"]
    steps = [json.loads(line)["step"] for line in again.validation_log.read_text().splitlines()]
    assert steps == [0, 2]


def test_a_checkpoint_does_not_grow_with_the_steps():
    clock = StepClock(torch.device("cpu"))
    sizes = []
    for _ in range(2 * RECENT):
        clock.end_step()
        sizes.append(len(clock.state().values["recent"]))
    assert max(sizes) == sizes[-1] == RECENT
    again = StepClock(torch.device("cpu"))
    again.restore(clock.state())
    again.end_step()
    assert (again.count, len(again.recent)) == (2 * RECENT + 1, RECENT)


def test_a_run_on_another_base_file_is_refused(tmp_path, device):
    base = write_base(tmp_path / "base")
    values = {
        "name": "x",
        "model": {"name": "sa2va", "size": "auto", "weights": [str(base)]},
        "data": {"options": {"images": 6, "size": 64, "per_group": 1}},
        "train": {"steps": 2, "batch_size": 1, "log_every": 1, "save_every": 1, "device": "cpu", "validate_every": 0},
    }
    wanted = validate_recipe(values, SA2VA)
    with pytest.raises(EndedError):
        train(wanted, SA2VA, tmp_path / "runs", EndAt(2))
    (cut,) = runs_of(tmp_path / "runs")
    assert (cut.checkpoints / "1").is_dir()
    write_base(base, seed=1)
    with pytest.raises(UserError, match=r"model\.safetensors is not the base that .* was trained on"):
        train(wanted, SA2VA, tmp_path / "runs", Silent(), cut)

    cut.update(base_weights=load_digests(wanted))  # files that a plugin does not name: the frozen bits still tell
    with pytest.raises(UserError, match="was trained on another base"):
        train(wanted, SA2VA, tmp_path / "runs", Silent(), cut)


def load_digests(wanted) -> dict[str, str]:
    plugin, config = model_settings(wanted, SA2VA)
    return plugin.base_weights(config)
