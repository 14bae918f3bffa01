"""Several processes on this machine: torchrun's own engine, started from here."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

from vesselbench.config import Recipe
from vesselbench.errors import UserError
from vesselbench.jobs import ERROR_LOCK, RUN_FILE, STOPPED, LaunchError, is_rank, stop_signals
from vesselbench.provenance import OUTER_COMMAND, command_line
from vesselbench.recipes import dump_recipe
from vesselbench.rundir import RunDir, write_text


def processes_wanted(nproc: int | None, device: str) -> int:
    """`nproc`, else one per GPU; 1 where a launcher has started this process already, or without a GPU."""
    if is_rank():
        return 1
    if nproc is not None:
        return nproc
    import torch

    return max(1, torch.cuda.device_count()) if device != "cpu" else 1


def train_apart(recipe: Recipe, runs: Path, nproc: int | None) -> RunDir:
    """Train a recipe in a process of its own (so that its peak memory is its own) and return the new run.

    Raises LaunchError when it failed; it has said why on the same terminal.
    """
    words = ["--nproc", str(nproc)] if nproc is not None else []
    with tempfile.TemporaryDirectory() as folder:
        job = Job(Path(folder), recipe)
        command = [sys.executable, "-m", "vesselbench", *job.words(runs), *words]
        environment = {**os.environ, OUTER_COMMAND: command_line(), RUN_FILE: str(job.run_file)}
        with requests_passed_on():
            code = subprocess.run(command, stdout=sys.stderr, env=environment, check=False).returncode
        return job.result(code)


def train_launched(recipe: Recipe, runs: Path, nproc: int, resumed: RunDir | None = None) -> RunDir:
    """Train a recipe on `nproc` ranks and return the run, new or `resumed`. Raises LaunchError when a rank failed."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job(Path(folder), recipe, resumed)
        code = run_processes(nproc, job.words(runs), job)
        return job.result(code)


def rehearse_launched(recipe: Recipe, runs: Path, nproc: int, keep: bool) -> None:
    """A dry run on `nproc` ranks. Raises LaunchError when a rank failed."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job(Path(folder), recipe)
        code = run_processes(nproc, [*job.words(runs), "--dry-run", *(["--keep-dry-run"] if keep else [])], job)
        if code:
            raise LaunchError(code)


class Job:
    """The files through which a training that was started and its starter know of each other."""

    def __init__(self, folder: Path, recipe: Recipe, resumed: RunDir | None = None) -> None:
        self._resumed = resumed
        self.recipe_file = folder / f"{recipe.name}.yaml"
        self.lock = folder / "said"
        self.run_file = Path(os.environ.get(RUN_FILE, folder / "run"))
        write_text(self.recipe_file, dump_recipe(recipe))
        if resumed is not None:
            write_text(self.run_file, str(resumed.path))

    def words(self, runs: Path) -> list[str]:
        """The command that trains."""
        known = [] if self._resumed is None else ["--resume-in", str(self._resumed.path)]
        return ["train", str(self.recipe_file), "--runs", str(runs), *known]

    def result(self, code: int) -> RunDir:
        """The run that it made. Raises LaunchError for an exit code other than 0, after the run is marked failed."""
        run = RunDir(Path(self.run_file.read_text(encoding="utf-8"))) if self.run_file.is_file() else None
        if code:
            if code != STOPPED and run is not None and run.record().get("status") == "running":
                run.update(status="failed", reason=f"a process of the training ended with code {code}")
            raise LaunchError(code)
        if run is None:
            raise UserError("the training ended without a run", "see what it printed")
        return run


@contextmanager
def requests_passed_on() -> Iterator[None]:
    """Context in which a request to stop goes on to the processes started from here, for whose end this one waits."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        for child in psutil.Process().children():  # not theirs: a rank ends its loader's processes itself
            with suppress(psutil.NoSuchProcess):
                child.send_signal(number)

    with stop_signals(pass_on):
        yield


def run_processes(nproc: int, arguments: Sequence[str], job: Job) -> int:
    """Run ``python -m vesselbench ARGUMENTS`` on `nproc` ranks, as torchrun does; returns 0 or a failing exit code.

    The cores are divided between the ranks. Of several ranks that fail, the first to make the job's lock speaks.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=nproc,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=job.lock.parent.name,
        max_restarts=0,
        signals_to_handle="SIGQUIT",  # the others are passed on: the ranks save first
    )
    threads = str(max(1, (os.cpu_count() or 1) // nproc))
    ours = {ERROR_LOCK: str(job.lock), RUN_FILE: str(job.run_file), OUTER_COMMAND: command_line()}
    before = dict(os.environ)
    os.environ |= {"OMP_NUM_THREADS": threads, **before, **ours}
    try:
        with requests_passed_on():
            elastic_launch(config, sys.executable)("-m", "vesselbench", *arguments)
    except ChildFailedError as failure:
        codes = [int(one.exitcode) for one in failure.failures.values()]
        killed = [code for code in codes if code < 0 and code != -signal.SIGTERM]  # else ended because of the first
        return killed[0] if killed else int(failure.get_first_failure()[1].exitcode)
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ |= before
    return 0
