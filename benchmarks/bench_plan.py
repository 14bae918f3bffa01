"""Planned against measured, on this processor: ``python -m benchmarks.bench_plan`` prints a table, one line per recipe.

Memory is what each rank grew at most over what it held before the engine was built (the libraries warm, by a small
engine). Time is the median of the optimizer steps after the first. Every rank is a process with one thread.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vesselbench.plugins import load_catalogue
from vesselbench.recipes import load_recipe

BIG = ("data.options.images=12", "data.options.size=256", "train.check_after=0")
UNET, SEGRESNET, DYNUNET = ("unet", "train.augment.crop=192"), ("segresnet",), ("dynunet",)
WIDE = "model.channels=[64,128,256,512]"
CASES: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (1, 0, (*UNET, "train.batch_size=8")),
    (1, 0, (*UNET, WIDE, "train.batch_size=4")),
    (1, 2, (*UNET, WIDE, "train.batch_size=4")),
    (1, 3, (*UNET, WIDE, "train.batch_size=8", "train.micro_batch=4")),
    (1, 0, (*SEGRESNET, "train.batch_size=4")),
    (1, 0, (*DYNUNET, "train.batch_size=4")),
    (1, 0, ("sa2va", "train.batch_size=16")),
    (2, 1, (*UNET, WIDE, "train.batch_size=8")),
    (2, 2, (*UNET, WIDE, "train.batch_size=8")),
    (2, 3, (*UNET, WIDE, "train.batch_size=8")),
    (2, 3, ("sa2va", "train.batch_size=16")),
    (2, 3, ("sa2va", "train.batch_size=16", "train.micro_batch=1")),
)
STEPS = 4


def measure(name: str, stage: int, changes: tuple[str, ...]) -> dict[str, Any]:
    """On this rank: bytes grown, seconds of each step."""
    import gc

    from vesselbench import distributed
    from vesselbench.data.dataset import load_dataset
    from vesselbench.training.engine import Engine, prepare_process

    catalogue = load_catalogue()
    small, _ = load_recipe("unet", catalogue, overrides=[*BIG, "train.steps=1", f"train.zero_stage={stage}"])
    recipe, _ = load_recipe(
        name, catalogue, overrides=[*BIG, *changes, f"train.steps={STEPS}", f"train.zero_stage={stage}"]
    )
    device = prepare_process(recipe.train)
    dataset = distributed.on_first(lambda: load_dataset(recipe.data, catalogue))
    warm = Engine.build(small, dataset.task, catalogue, device)
    for _, batches in warm.train_batches(dataset.of("train")):
        warm.train_step(batches)
    warm.close()
    del warm
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before, seconds = _status("VmRSS"), []
    engine = Engine.build(recipe, dataset.task, catalogue, device)
    for _, batches in engine.train_batches(dataset.of("train")):
        started = time.perf_counter()
        engine.train_step(batches)
        seconds.append(time.perf_counter() - started)
    grown = _status("VmHWM") - before
    engine.close()
    distributed.disconnect()
    return {"grown": grown, "seconds": seconds}


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def start(world: int, stage: int, words: tuple[str, ...]) -> list[dict[str, Any]]:
    """What each of `world` ranks measured."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "benchmarks.bench_plan", "--rank", str(stage), *words]
    facts = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    facts["LOCAL_WORLD_SIZE"] = str(world)
    ranks = [
        subprocess.Popen(
            command,
            env={**os.environ, **facts, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        texts = [rank.communicate(timeout=240)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    return [json.loads(text.strip().splitlines()[-1]) for text in texts]


def main(numbers: list[int]) -> None:
    """Plan and measure the cases of these numbers, or all."""
    from vesselbench.planner import make_plan

    catalogue = load_catalogue()
    sys.stdout.write("ranks stage recipe | MiB planned measured ratio | s/step planned measured\n")
    for number in numbers or range(len(CASES)):
        world, stage, (name, *changes) = CASES[number]
        found = start(world, stage, (name, *changes))
        recipe, _ = load_recipe(name, catalogue, overrides=[*BIG, *changes, f"train.zero_stage={stage}"])
        plan = make_plan(recipe, catalogue, world)
        grown = max(rank["grown"] for rank in found) / 2**20
        planned = plan.own.memory.total / 2**20
        took = max(statistics.median(rank["seconds"][1:]) for rank in found)
        sys.stdout.write(
            f"{number:2} {world} {stage} {name} {' '.join(changes)} | {planned:.0f} {grown:.0f} "
            f"{planned / grown:.2f} | "
            f"{plan.own.seconds.total:.3f} {took:.3f}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        stage, name, *changes = sys.argv[2:]
        sys.stdout.write("\n" + json.dumps(measure(name, int(stage), tuple(changes))) + "\n")
    else:
        main([int(word) for word in sys.argv[1:]])
