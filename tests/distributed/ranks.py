"""The ranks of a job as real processes of a worker script, which meet at a file (gloo), with a limit in seconds.

A worker is ``python -m WORKER FOLDER RANK WORLD [WORDS...]``. When the limit is over, each rank prints the stacks of
its threads and ends.
"""

from __future__ import annotations

import faulthandler
import json
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from vesselbench.plugins import Catalogue, load_catalogue
from vesselbench.training.engine import import_deepspeed

ROOT = Path(__file__).parents[2]
GRACE = 30
"""Seconds beyond the limit after which the ranks are killed."""


@contextmanager
def joined(folder: Path, rank: int, world: int, limit: float, *words: str) -> Generator[None, None, None]:
    """In a worker: context in which this rank has met the others; `words` tell jobs of one folder apart."""
    faulthandler.dump_traceback_later(limit, exit=True)
    torch.set_num_threads(1)
    store = f"file://{folder / '-'.join(['store', str(world), *words])}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world, timeout=timedelta(seconds=60))
    yield
    dist.barrier()
    dist.destroy_process_group()


def run_ranks(worker: str, folder: Path, *words: str, world: int = 2, limit: float) -> tuple[list[int], str]:
    """The return codes of all ranks, and the ends of what they said on standard error."""
    command = [sys.executable, "-m", worker, str(folder)]
    ranks = [
        subprocess.Popen([*command, str(rank), str(world), *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for rank in range(world)
    ]
    try:
        errors = [process.communicate(timeout=limit + GRACE)[1] for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    return [process.returncode for process in ranks], "\n".join(text[-8000:] for text in errors)


def run_jobs(worker: str, folder: Path, jobs: dict[str, Any], limit: float) -> list[dict[str, Any]]:
    """What each of two ranks wrote into FOLDER/rank<RANK>.json, by name of the job: they read FOLDER/jobs.json."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    codes, errors = run_ranks(worker, folder, limit=limit)
    assert codes == [0, 0], errors
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


def do_jobs(run: Callable[[Any, Catalogue], Any], limit: float) -> None:
    """A worker of `run_jobs` by its command line: what `run` makes of each job, into FOLDER/rank<RANK>.json."""
    folder, rank, world = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with joined(folder, rank, world, limit):
        import_deepspeed(torch.device("cpu"))
        catalogue = load_catalogue()
        jobs = json.loads((folder / "jobs.json").read_text())
        (folder / f"rank{rank}.json").write_text(json.dumps({name: run(job, catalogue) for name, job in jobs.items()}))
