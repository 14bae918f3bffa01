"""One rank of the tests beside it: ``python -m tests.distributed.evaluate_worker FOLDER RANK WORLD``, or with the words
``CASE LAST``: evaluate `MANY` samples into FOLDER/CASE, and let the last rank be killed before its prediction
number LAST, counted from 0; never, where LAST is negative."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image

from tests.distributed.ranks import joined
from vesselbench.config import EvalConfig
from vesselbench.evaluation.evaluate import evaluate
from vesselbench.plugins import Catalogue, Table
from vesselbench.rundir import RunDir
from vesselbench.types import MaskFile, Prediction, Sample

COUNT, MANY = 5, 12
LIMIT = 90
THRESHOLDS = {"known": 0.5, "chosen": "validation"}
"""The cases of an evaluation that is killed: its threshold is known from the start, or chosen on all images."""


def write_samples(folder: Path, count: int = COUNT) -> list[Sample]:
    """Images of as many sizes; grey value = noisy probability."""
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    samples = []
    for number in range(count):
        mask = np.zeros((24 + 3 * number, 40 - 2 * number), bool)
        mask[5 + number : 9 + number] = True
        level = (0.2, 0.4)[number % 2]  # so that each rank, alone, would choose another threshold
        noisy = np.clip(level + 0.3 * mask + generator.normal(0, 0.1, mask.shape), 0, 1)
        Image.fromarray((noisy * 255).astype(np.uint8)).save(folder / f"image{number}.png")
        Image.fromarray(mask).save(folder / f"mask{number}.png")
        paths = folder / f"image{number}.png", MaskFile(folder / f"mask{number}.png")
        samples.append(Sample(f"eye{number}", *paths, group=f"child{number // 2}", observer2=paths[1]))
    return samples


class Overlap:
    """Dice in numpy, as a third party would write it (importing MONAI takes each process some seconds)."""

    name, better, version, kind = "overlap", "higher", 1, "overlap"

    def __call__(self, prediction, example):
        mask = prediction.mask()
        return float(2 * (mask & example.mask).sum() / (mask.sum() + example.mask.sum()))


class Unknown:
    """A metric without a value on the images of child1."""

    name, better, version, kind = "unknown", "lower", 3, "none"

    def __call__(self, prediction, example):
        return None if example.sample.group == "child1" else float(prediction.probability.mean())


class InStep:
    """Predicts by grey value, and meets the other ranks in every call, as a partitioned model does. Before call number
    `last` the process is killed."""

    device = "cpu"

    def __init__(self, last: int = -1) -> None:
        self.calls: list[int] = []
        self.asked: list[str] = []
        self.last = last

    def predict(self, examples):
        if len(self.calls) == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.calls.append(len(examples))
        self.asked.extend(e.sample.id for e in examples)
        if dist.is_initialized():
            sizes = torch.tensor([len(examples)])
            dist.all_reduce(sizes)
            assert sizes.item() == len(examples) * dist.get_world_size()
        return [Prediction(e.sample.id, e.image[..., 0].astype(np.float32) / 255) for e in examples]


def evaluate_here(
    samples: list[Sample], run: RunDir, batch_size: int, threshold: float | str = "validation", last: int = -1
) -> dict:
    """Choose the threshold and score; returns rows, threshold, summary and this rank's calls, ready for JSON."""
    metrics: Table = Table("metric")
    for metric in (Overlap(), Unknown()):
        metrics.add("builtin", metric)
    tables = (Table("model"), Table("data set format"), metrics, Table("tracker"))
    catalogue = Catalogue(*tables, plugins=())
    names = ["overlap", "unknown"]
    config = EvalConfig(metrics=names, primary="overlap", batch_size=batch_size, threshold=threshold)
    in_step = InStep(last)
    result = evaluate(
        in_step.predict, samples, config, catalogue, set_name="val", fingerprint="f", weights_sha256="w", run=run
    )
    rows = [[row.id, dict(row.values), row.case, row.reasons, row.mask_sha256] for row in result.scores.rows]
    about = {"summary": result.summary, "calls": in_step.calls, "asked": in_step.asked}
    return {"rows": rows, "threshold": result.scores.threshold, **about}


def evaluate_killed(folder: Path, rank: int, world: int, case: str, last: int) -> None:
    """Evaluate on this rank; the last one is killed before call `last`."""
    samples = write_samples(folder / f"samples{rank}", MANY)
    found = evaluate_here(samples, RunDir(folder / case), 1, THRESHOLDS[case], last if rank == world - 1 else -1)
    (folder / f"{case}{rank}.json").write_text(json.dumps(found))


def main(folder: Path, rank: int, world: int, *words: str) -> None:
    with joined(folder, rank, world, LIMIT, *words):
        if words:
            evaluate_killed(folder, rank, world, words[0], int(words[1]))
            return
        samples = write_samples(folder / f"samples{rank}")
        results = [evaluate_here(samples, RunDir(folder / f"run{size}"), size) for size in (1, 2)]
        evaluate_here(samples, RunDir(folder / f"own{rank}"), 1)  # each rank with a folder of its own: who writes what
        (folder / f"rank{rank}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
