"""What happens to a training that is killed, stopped or out of disk, in real processes; and that nothing is lost by it.

The moment is chosen by what appears in the run's folder. With augmentation, shuffling and dropout, in fp32.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.distributed.faults import RECIPE, Job, numbers, outcome, start
from vesselbench.jobs import STOPPED
from vesselbench.recipes import load_recipe
from vesselbench.resume import find_unfinished
from vesselbench.training.loop import train
from vesselbench.watch import Silent


@dataclass(frozen=True)
class Fault:
    """`moment` says whether a run's folder looks as it must; `strike` is what happens then."""

    name: str
    moment: Callable[[Path], bool]
    strike: Callable[[Job], None]
    code: int
    status: str
    said: str = ""
    workers: int = 1


def lines(count: int, run: Path) -> bool:
    """Whether train.jsonl has so many lines."""
    log = run / "train.jsonl"
    return log.is_file() and log.read_bytes().count(b"\n") >= count


def saving(step: int, run: Path) -> bool:
    """Whether the weights of a checkpoint are written and the rest is not."""
    return (run / f"checkpoints/.{step}.tmp/weights.safetensors").exists()


def kill(job: Job) -> None:
    for process in {*job.ranks, psutil.Process(job.process.pid)}:
        process.kill()


def send(number: int, job: Job) -> None:
    job.process.send_signal(number)


def fill_the_disk(job: Job) -> None:
    """Nothing larger than the weights can be written from now on (what a full disk is to the state's file)."""
    job.ranks[0].rlimit(psutil.RLIMIT_FSIZE, (12_000, 12_000))


FAULTS = [
    Fault("killed while it saves", partial(saving, 8), kill, -signal.SIGKILL, "running"),
    Fault("SIGTERM", partial(lines, 5), partial(send, signal.SIGTERM), STOPPED, "interrupted", "go on with: "),
    Fault("a full disk", partial(lines, 5), fill_the_disk, 2, "failed", "error: cannot write", workers=0),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, catalogue, device) -> Path:
    """The same training to which nothing happens."""
    recipe, _ = load_recipe("unet", catalogue, [], [*RECIPE, "train.zero_stage=3"])
    return train(recipe, catalogue, tmp_path_factory.mktemp("whole") / "runs", Silent()).path


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_nothing_is_lost_on_one_process(fault, whole, tmp_path, catalogue, device):
    job = start(tmp_path, "unet", *RECIPE, "train.zero_stage=3", f"train.workers={fault.workers}")
    run = job.run
    job.wait(partial(fault.moment, run))
    fault.strike(job)
    assert job.end() == fault.code, job.said
    assert json.loads((run / "run.json").read_text())["status"] == fault.status
    assert fault.said in job.said
    assert "Traceback" not in job.said

    recipe, found = find_unfinished(str(run), [], [], tmp_path / "runs", catalogue, Silent())
    train(recipe, catalogue, tmp_path / "runs", Silent(), found)
    assert numbers(run) == numbers(whole)
    assert outcome(run) == outcome(whole)
    assert not list(run.glob("checkpoints/.*")), "no draft stays"


def kill_the_second(job: Job) -> None:
    job.ranks[1].kill()


FAULTS_OF_TWO = [
    Fault("one rank is killed", partial(lines, 7), kill_the_second, 1, "failed", "ended by signal 9"),
    Fault("Ctrl-C", partial(lines, 5), partial(send, signal.SIGINT), STOPPED, "interrupted", "go on with: "),
]


@pytest.fixture(scope="module")
def whole_of_two(tmp_path_factory) -> Path:
    job = start(tmp_path_factory.mktemp("two"), "unet", *RECIPE, "train.zero_stage=2", "--nproc", "2")
    assert job.end() == 0, job.said
    return next(job.folder.glob("runs/unet/*"))


@pytest.mark.parametrize("fault", FAULTS_OF_TWO, ids=lambda fault: fault.name)
def test_nothing_is_lost_on_two_processes(fault, whole_of_two, tmp_path):
    job = start(tmp_path, "unet", *RECIPE, "train.zero_stage=2", "--nproc", "2")
    run = job.run
    job.wait(partial(fault.moment, run))
    fault.strike(job)
    assert job.end() == fault.code, job.said
    assert json.loads((run / "run.json").read_text())["status"] == fault.status
    assert fault.said in job.said

    again = start(tmp_path, "unet", "--resume", *RECIPE, "train.zero_stage=2", "--nproc", "2")
    assert again.end() == 0, again.said
    assert numbers(run) == numbers(whole_of_two)
    assert outcome(run) == outcome(whole_of_two)
