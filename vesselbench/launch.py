"""Several processes on this machine: torchrun's own engine, started from here."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vesselbench.config import Recipe
from vesselbench.errors import UserError
from vesselbench.jobs import ERROR_LOCK, LaunchError
from vesselbench.provenance import OUTER_COMMAND, command_line
from vesselbench.recipes import dump_recipe
from vesselbench.rundir import RunDir, runs_of


def processes_wanted(nproc: int | None, device: str) -> int:
    """`nproc`, else one per GPU; 1 where a launcher has started this process already, or without a GPU."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return 1
    if nproc is not None:
        return nproc
    import torch

    return max(1, torch.cuda.device_count()) if device != "cpu" else 1


def train_apart(recipe: Recipe, runs: Path, nproc: int | None) -> RunDir:
    """Train a recipe in a process of its own (so that its peak memory is its own) and return the new run.

    Raises LaunchError when it failed; it has said why on the same terminal.
    """
    before = {run.path for run in runs_of(runs, recipe.name)}
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", str(_store(recipe, Path(folder))), "--runs", str(runs)]
        words += ["--nproc", str(nproc)] if nproc is not None else []
        environment = {**os.environ, OUTER_COMMAND: command_line()}
        command = [sys.executable, "-m", "vesselbench", *words]
        done = subprocess.run(command, stdout=sys.stderr, env=environment, check=False)
    if done.returncode:
        raise LaunchError(done.returncode)
    return _new_run(recipe, runs, before)


def train_launched(recipe: Recipe, runs: Path, nproc: int) -> RunDir:
    """Train a recipe on `nproc` ranks and return the new run. Raises LaunchError when a rank failed."""
    before = {run.path for run in runs_of(runs, recipe.name)}
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", str(_store(recipe, Path(folder))), "--runs", str(runs)]
        run_processes(nproc, words, Path(folder) / "said")
    return _new_run(recipe, runs, before)


def _store(recipe: Recipe, folder: Path) -> Path:
    file = folder / f"{recipe.name}.yaml"
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    return file


def _new_run(recipe: Recipe, runs: Path, before: set[Path]) -> RunDir:
    new = [run for run in runs_of(runs, recipe.name) if run.path not in before]
    if not new:
        raise UserError(f"the training ended without a run below {runs}", "see what it printed")
    return new[0]


def run_processes(nproc: int, arguments: Sequence[str], lock: Path) -> None:
    """Run ``python -m vesselbench ARGUMENTS`` on `nproc` ranks, as torchrun does.

    The cores are divided between the ranks. Of several ranks that fail, the first to make the file `lock` speaks.
    Raises LaunchError with the exit code of a rank that failed.
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
        run_id=lock.parent.name,
        max_restarts=0,
    )
    threads = str(max(1, (os.cpu_count() or 1) // nproc))
    os.environ |= {ERROR_LOCK: str(lock), OUTER_COMMAND: command_line(), "OMP_NUM_THREADS": threads}
    try:
        elastic_launch(config, sys.executable)("-m", "vesselbench", *arguments)
    except ChildFailedError as failure:
        codes = [result.exitcode for result in failure.failures.values()]
        raise LaunchError(max(codes) if max(codes) > 0 else 1) from None
    finally:
        for name in (ERROR_LOCK, OUTER_COMMAND, "OMP_NUM_THREADS"):
            del os.environ[name]
