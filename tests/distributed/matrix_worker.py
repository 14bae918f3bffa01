"""One rank that trains every model in every way: ``python -m tests.distributed.matrix_worker FOLDER RANK WORLD``.

FOLDER/jobs.json lists, by name, recipes (see `recipe`) and whether they are `uneven`: then rank 1 has larger images and
nothing but empty masks. FOLDER/rank<RANK>.json gets each job's
losses, the mean over the ranks, and a hash of every trained weight at the end.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from tests.distributed.ranks import joined, run_jobs
from vesselbench import distributed, sharding
from vesselbench.config import DataConfig
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.data.loader import make_batch
from vesselbench.plugins import Catalogue, load_catalogue
from vesselbench.recipes import merge, model_settings, validate_recipe
from vesselbench.testing import tiny_examples
from vesselbench.training.engine import Engine
from vesselbench.types import Batch

LIMIT = 500
CPU = torch.device("cpu")
PHANTOM = DataConfig(options={"images": 12, "size": 64, "per_group": 2})
TRAIN = {"steps": 3, "batch_size": 4, "lr": 1e-3, "warmup": 0.0, "device": "cpu", "timeout_minutes": 1}
LINEAR = {"optimizer": "sgd", "momentum": 0.9}
"""AdamW divides gradients by their size: of those that are nothing but rounding (a bias before a norm) it makes whole
steps, and after three of them losses differ by 1e-4 in networks whose first losses are equal to 1e-7 (measured)."""


def recipe(model: str, catalogue: Catalogue, **train: Any) -> dict[str, Any]:
    """The model at its defaults, without dropout: that draws on each rank for itself."""
    values = {"name": model, "model": {"name": model}, "train": TRAIN | LINEAR | train}
    config = model_settings(validate_recipe(values, catalogue), catalogue)[1]
    return merge(values, {"model": still(config.model_dump(mode="json"))})


def still(settings: dict[str, Any]) -> dict[str, Any]:
    """Every `dropout` among some settings, set to 0."""
    inner = {key: still(value) for key, value in settings.items() if isinstance(value, dict)}
    return {key: value for key, value in inner.items() if value} | ({"dropout": 0.0} if "dropout" in settings else {})


def uneven(engine: Engine) -> list[Batch]:
    """Two made-up examples as this rank's micro-batch."""
    rank = distributed.rank()
    examples = tiny_examples(2, (96, 80) if rank else (64, 64), empty=rank == 1, seed=rank)
    return [make_batch(examples, engine.feed.collate)]


def train(job: dict[str, Any], dataset: Dataset, catalogue: Catalogue) -> dict[str, Any]:
    """Losses of a job, and a hash of what was trained."""
    settings = validate_recipe(job["recipe"], catalogue)
    engine = Engine.build(settings, dataset.task, catalogue, CPU)
    for part in engine.module.modules():
        if hasattr(part, "drop_connect_rate"):  # MONAI's EfficientNet leaves blocks out, and takes no setting for it
            part.drop_connect_rate = 0.0
    if job.get("uneven"):
        batch = uneven(engine)
        steps = [engine.train_step(batch) for _ in range(settings.train.total_steps)]
    else:
        steps = [engine.train_step(batches) for _, batches in engine.train_batches(dataset.of("train"))]
    with engine.averaged():
        saved, size = digest(engine.module)
    found = {
        "losses": [distributed.mean_over_ranks(losses) for losses in steps],
        "hash": saved,
        "size": size,
        "held": engine.local_parameter_bytes(),
        "arithmetic": engine.arithmetic,
    }
    engine.close()
    return found


def digest(module: torch.nn.Module) -> tuple[str, float]:
    """A hash of every trained weight, and the sum of their squares."""
    total, size = hashlib.sha256(), 0.0
    for parameter in module.parameters():
        if parameter.requires_grad:
            with sharding.whole([parameter]):
                total.update(parameter.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
                size += float(parameter.detach().double().square().sum())
    return total.hexdigest(), size


def launch(folder: Path, jobs: dict[str, dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
    """What each of two ranks found, by name of the job."""
    return run_jobs(__name__, folder, jobs, LIMIT)


def main(folder: Path, rank: int, world: int) -> None:
    with joined(folder, rank, world, LIMIT):
        catalogue = load_catalogue()
        dataset = load_dataset(PHANTOM, catalogue)
        jobs = json.loads((folder / "jobs.json").read_text())
        found = {name: train(job, dataset, catalogue) for name, job in jobs.items()}
        (folder / f"rank{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
