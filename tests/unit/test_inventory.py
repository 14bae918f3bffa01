"""Which runs are listed as what, and what a rule may remove."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import psutil
import pytest
import torch
from typer.testing import CliRunner

from vesselbench import UserError
from vesselbench.alive import claim, status_of, this_process
from vesselbench.cli import app
from vesselbench.inventory import Rules, list_runs, removals
from vesselbench.manifest import fault_of
from vesselbench.rundir import RunDir
from vesselbench.training.progress import Progress
from vesselbench.training.saving import save_checkpoint
from vesselbench.training.state import States

GONE = {"pid": 2**22 + 1, "started": 1.0}


@pytest.fixture
def make(tmp_path):
    """Writes a run with checkpoints 2 and 4."""

    def write(name: str, status: str, process: dict | None = None) -> RunDir:
        run = RunDir(tmp_path / "runs" / "unet" / name)
        run.path.mkdir(parents=True)
        here = this_process()
        run.update(status=status, process=here | (process or GONE), steps=8, best_step=2, best_score=0.5, last_step=4)
        for step in (2, 4):
            states = States()
            states.register("progress", Progress(step))
            save_checkpoint(run, step, torch.nn.Linear(2, 2), states)
            run.log_step({"step": step})
        return run

    return write


def test_a_run_whose_process_is_gone_is_shown_as_interrupted_and_one_that_is_there_as_running(make, tmp_path):
    make("a", "running")
    make("b", "running", this_process())
    make("c", "finished")
    make("d", "running", {**GONE, "boot": "another start of the system", "pid": os.getpid()})
    found = {run.run.name: run for run in list_runs(tmp_path / "runs")}
    assert {name: run.status for name, run in found.items()} == {
        "a": "interrupted",
        "b": "running",
        "c": "finished",
        "d": "interrupted",
    }
    assert {name: run.resumable for name, run in found.items()} == {"a": True, "b": False, "c": False, "d": True}
    assert (found["a"].steps_done, found["a"].steps, found["a"].best_score) == (4, 8, 0.5)
    assert found["a"].bytes > found["a"].state_bytes > 0


def test_on_another_machine_a_sign_of_life_counts(make):
    run = make("a", "running", {"host": "elsewhere"})
    assert status_of(run, run.record()) == "interrupted"
    run.sign_of_life.touch()
    assert status_of(run, run.record()) == "running"
    os.utime(run.sign_of_life, (0, time.time() - 600))
    assert status_of(run, run.record()) == "interrupted"


def test_a_killed_process_that_its_parent_has_not_waited_for_is_gone(make):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = make("a", "running", {**this_process(), "pid": child.pid, "started": psutil.Process(child.pid).create_time()})
    assert status_of(run, run.record()) == "running"
    child.kill()
    deadline = time.monotonic() + 20
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert status_of(run, run.record()) == "interrupted"
    child.communicate()


def test_a_run_that_another_process_works_on_is_not_taken(make):
    parent = {"pid": os.getppid(), "started": psutil.Process(os.getppid()).create_time()}
    run = make("a", "running", parent)
    with pytest.raises(UserError, match=f"is being trained by process {os.getppid()}"):
        claim(run)
    other = make("b", "running")
    claim(other)
    assert other.record()["process"] == this_process()


def test_prune_removes_what_the_rules_say_and_nothing_of_a_running_run_or_a_stranger(make, tmp_path):
    finished, running = make("a", "finished"), make("b", "running", this_process())
    stranger = tmp_path / "runs" / "unet" / "notes"
    (stranger / "checkpoints" / "2").mkdir(parents=True)
    root = str(tmp_path / "runs")
    before = set((tmp_path / "runs").rglob("*")) - set(finished.path.rglob("*"))
    asked = CliRunner().invoke(app, ["runs", "--runs", root, "prune", "--checkpoints"])
    assert isinstance(asked.exception, UserError)
    assert (finished.checkpoints / "4").is_dir(), "nobody was there to agree"
    done = CliRunner().invoke(app, ["runs", "--runs", root, "prune", "--checkpoints", "--state", "--yes"])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in finished.checkpoints.iterdir()) == ["2"]
    assert sorted(path.name for path in (finished.checkpoints / "2").iterdir()) == ["meta.json", "weights.safetensors"]
    assert finished.weights().is_file()
    assert fault_of(finished.checkpoints / "2") == "it holds no optimizer state"
    assert before <= set((tmp_path / "runs").rglob("*"))
    assert f"{running.path} is running: left alone" in done.output


def test_a_failed_run_goes_when_it_is_as_old_as_the_rule_says(make, tmp_path):
    young, old = make("a", "failed"), make("b", "failed")
    for path in (old.record_file, old.train_log):
        os.utime(path, (0, time.time() - 10 * 86_400))
    found, left = removals(tmp_path / "runs", Rules(failed_days=7))
    assert [one.run for one in found] == [old.path]
    assert left == []
    found[0].remove()
    assert (young.path.is_dir(), old.path.exists()) == (True, False)


def test_the_list_as_json_is_what_the_table_shows(make, tmp_path):
    make("a", "finished")
    done = CliRunner().invoke(app, ["runs", "--runs", str(tmp_path / "runs"), "--json"])
    (row,) = json.loads(done.stdout)
    assert (row["status"], row["best_score"], row["steps_done"]) == ("finished", 0.5, 4)
    table = CliRunner().invoke(app, ["runs", "--runs", str(tmp_path / "runs")])
    assert "unet/a" in table.stdout
