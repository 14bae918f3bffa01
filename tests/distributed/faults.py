"""A training in a real process that something happens to, and how it is compared with one to which nothing happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

DATA = ["data.options.images=12", "data.options.size=64", "data.options.per_group=2"]
MODEL = ["model.channels=[4,8]", "model.dropout=0.2"]
STEPS = ["train.steps=12", "train.batch_size=4", "train.log_every=1", "train.save_every=2", "train.validate_every=4"]
RECIPE = [*DATA, *MODEL, *STEPS, "train.device=cpu"]
NUMBERS = ("step", "loss", "lr", "grad_norm")
"""Start of the names of what must be equal in a line of train.jsonl; the rest is time and memory."""


Found = TypeVar("Found")


@dataclass
class Job:
    """A training that runs in a process of its own below `folder`."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def run(self) -> Path:
        """The folder of the run; waits for it."""
        return self.wait(lambda: next(iter(self.folder.glob("runs/unet/*/run.json")), None)).parent

    def wait(self, look: Callable[[], Found], seconds: float = 120) -> Found:
        """What `look` gives as soon as it gives something; AssertionError with the output when the process ends."""
        deadline = time.monotonic() + seconds
        while not (found := look()):
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.said}"
            assert time.monotonic() < deadline, self.said
            time.sleep(0.0005)
        return found

    @property
    def ranks(self) -> list[psutil.Process]:
        """The processes that train: this one, or those that it has started."""
        own = psutil.Process(self.process.pid)
        return [child for child in own.children() if "train" in child.cmdline()] or [own]

    @property
    def said(self) -> str:
        return (self.folder / "err.txt").read_text()

    def end(self, seconds: float = 90) -> int:
        """The exit code; after too long every process prints where it stands, and all are ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            end_with_stacks(self.process.pid)
            raise AssertionError(f"it did not end:\n{self.said[-20000:]}") from None


def start(folder: Path, *words: str) -> Job:
    """Start ``vesselbench train WORDS`` in `folder`."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1", "OMP_NUM_THREADS": "1"}
    with open(folder / "err.txt", "ab") as err:
        command = [sys.executable, "-m", "vesselbench", "train", *words]
        return Job(folder, subprocess.Popen(command, cwd=folder, env=environment, stdout=err, stderr=err))


def numbers(run: Path) -> list[dict]:
    """The lines of train.jsonl without times."""
    rows = [json.loads(line) for line in (run / "train.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key.startswith(NUMBERS)} for row in rows]


def outcome(run: Path) -> dict:
    """What of run.json and validations.jsonl must be equal."""
    record = json.loads((run / "run.json").read_text())
    kept = {key: record[key] for key in ("status", "best_step", "best_score", "last_step", "weights_sha256")}
    lines = [json.loads(line) for line in (run / "validations.jsonl").read_text().splitlines()]
    return {**kept, "validations": [(line["step"], line["means"], line["threshold"]) for line in lines]}


def end_with_stacks(pid: int) -> None:
    """SIGABRT makes Python's fault handler print every thread; then nothing of the job is left running."""
    parent = psutil.Process(pid)
    family = [*parent.children(recursive=True), parent]
    for process in family:
        process.send_signal(signal.SIGABRT)
    time.sleep(3)
    for process in family:
        if process.is_running():
            process.kill()
