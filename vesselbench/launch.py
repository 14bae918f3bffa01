"""Several processes on this machine: torchrun's own engine, started from here."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vesselbench.config import Recipe
from vesselbench.errors import UserError
from vesselbench.recipes import dump_recipe
from vesselbench.rundir import RunDir, runs_of

ERROR_LOCK = "VESSELBENCH_ERROR_LOCK"


class LaunchError(Exception):
    """A started process failed; it has said why. `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a process ended with code {code}")
        self.code = code


def processes_wanted(nproc: int | None, device: str) -> int:
    """`nproc`, else one per GPU; 1 where a launcher has started this process already, or without a GPU."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return 1
    if nproc is not None:
        return nproc
    import torch

    return max(1, torch.cuda.device_count()) if device != "cpu" else 1


def train_launched(recipe: Recipe, runs: Path, nproc: int) -> RunDir:
    """Train a recipe on `nproc` ranks; returns the new run. Raises LaunchError when a rank failed."""
    before = {run.path for run in runs_of(runs, recipe.name)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{recipe.name}.yaml"
        file.write_text(dump_recipe(recipe), encoding="utf-8")
        run_processes(nproc, ["train", str(file), "--runs", str(runs)], Path(folder) / "said")
    new = [run for run in runs_of(runs, recipe.name) if run.path not in before]
    if not new:
        raise UserError(f"the processes ended without a run below {runs}", "see what they printed")
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
    os.environ[ERROR_LOCK] = str(lock)
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // nproc))
    try:
        elastic_launch(config, sys.executable)("-m", "vesselbench", *arguments)
    except ChildFailedError as failure:
        codes = [result.exitcode for result in failure.failures.values()]
        raise LaunchError(max(codes) if max(codes) > 0 else 1) from None
    finally:
        del os.environ[ERROR_LOCK], os.environ["OMP_NUM_THREADS"]


def may_speak() -> bool:
    """Whether this process is the first of its job to report an error."""
    lock = os.environ.get(ERROR_LOCK)
    if lock is None:
        return True
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    except OSError:  # another rank was first, or the job is being cleared away
        return False
    return True
