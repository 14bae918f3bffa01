"""One rank that counts what ZeRO-3 sends: ``python -m tests.distributed.gathers_worker FOLDER RANK WORLD``.

FOLDER/jobs.json lists recipes by name. FOLDER/rank<RANK>.json gets, for each, of a step after the first: numbers that
came out of torch's all-gathers and went into its reduce-scatters, per micro-batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tests.distributed.ranks import do_jobs, run_jobs
from vesselbench.data.dataset import load_dataset
from vesselbench.plugins import Catalogue
from vesselbench.recipes import validate_recipe
from vesselbench.training.engine import Engine

LIMIT = 250
CPU = torch.device("cpu")


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Context in which the numbers of every all-gather's result and reduce-scatter's input are counted."""
    from deepspeed.comm import comm

    backend, sent = comm.cdb, Counter[str]()
    gather, scatter = backend.all_gather_function, backend.reduce_scatter_function

    def counting_gather(*words: Any, **named: Any) -> Any:
        sent["gathered"] += (named["output_tensor"] if "output_tensor" in named else words[0]).numel()
        return gather(*words, **named)

    def counting_scatter(output: torch.Tensor, values: torch.Tensor, **named: Any) -> Any:
        sent["reduced"] += values.numel()
        return scatter(output, values, **named)

    backend.all_gather_function, backend.reduce_scatter_function = counting_gather, counting_scatter
    try:
        yield sent
    finally:
        backend.all_gather_function, backend.reduce_scatter_function = gather, scatter


def run(values: dict[str, Any], catalogue: Catalogue) -> dict[str, float]:
    """What the last step of a recipe sends per micro-batch; in the first, DeepSpeed learns the order of the layers."""
    recipe = validate_recipe(values, catalogue)
    dataset = load_dataset(recipe.data, catalogue)
    engine = Engine.build(recipe, dataset.task, catalogue, CPU)
    found: dict[str, float] = {}
    for _, batches in engine.train_batches(dataset.of("train")):
        with counted() as sent:
            engine.train_step(batches)
        found = {name: count / len(batches) for name, count in sent.items()}
    engine.close()
    return found


def launch(folder: Path, jobs: dict[str, dict[str, Any]]) -> list[dict[str, dict[str, float]]]:
    """What each of two ranks counted, by name of the job."""
    return run_jobs(__name__, folder, jobs, LIMIT)


if __name__ == "__main__":
    do_jobs(run, LIMIT)
