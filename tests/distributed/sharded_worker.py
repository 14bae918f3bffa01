"""One rank that builds engines on base weights: ``python -m tests.distributed.sharded_worker FOLDER RANK WORLD``.

FOLDER/jobs.json lists the recipes; FOLDER/rank<RANK>.json gets, for each: the bytes by which this process grew at most
while the engine was built, the seconds it took, the bytes of parameters that it then held, those of the largest
tensor, and SHA-256 sums over all parameters and buffers after the build and over the trained ones after the recipe's
steps.
"""

from __future__ import annotations

import gc
import hashlib
import time
from pathlib import Path
from typing import Any

import torch

from tests.distributed.ranks import do_jobs, run_jobs
from vesselbench import distributed, sharding
from vesselbench.data.dataset import load_dataset
from vesselbench.data.loader import train_batches
from vesselbench.plugins import Catalogue
from vesselbench.recipes import validate_recipe
from vesselbench.training.engine import Engine

LIMIT = 220
CPU = torch.device("cpu")


def memory(field: str) -> int:
    """A line of the kernel's account of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def digest(module: torch.nn.Module, trained_only: bool = False) -> str:
    """SHA-256 over names, types and bytes, each parameter made whole for its turn."""
    total = hashlib.sha256()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad or not trained_only:
            with sharding.whole([parameter]):
                total.update(described(name, parameter))
    for name, buffer in module.named_buffers():
        total.update(described(name, buffer))
    return total.hexdigest()


def described(name: str, tensor: torch.Tensor) -> bytes:
    values = tensor.detach().contiguous().view(-1).view(torch.uint8)
    return f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + values.numpy().tobytes()


def run(values: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """Build the engine of a recipe, train its steps where it has more than one."""
    recipe = validate_recipe(values, catalogue)
    dataset = distributed.on_first(lambda: load_dataset(recipe.data, catalogue))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before, started = memory("VmRSS"), time.perf_counter()
    engine = Engine.build(recipe, dataset.task, catalogue, CPU)
    facts: dict[str, Any] = {"grown": memory("VmHWM") - before, "seconds": time.perf_counter() - started}
    facts["held"] = engine.local_parameter_bytes()
    facts["largest"] = max(sharding.whole_numel(p) * p.element_size() for p in engine.module.parameters())
    if recipe.train.steps > 1:
        facts["start"] = digest(engine.module)
        rank, world = distributed.rank(), distributed.world()
        for _, batches in train_batches(dataset.of("train"), engine.collate, recipe.train, rank, world):
            engine.train_step(batches)
        facts["trained"] = digest(engine.module, trained_only=True)
    engine.close()
    return facts


def launch(folder: Path, jobs: dict[str, dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """What each of two ranks found, by name of the job."""
    return run_jobs(__name__, folder, jobs, LIMIT)


if __name__ == "__main__":
    do_jobs(run, LIMIT)
