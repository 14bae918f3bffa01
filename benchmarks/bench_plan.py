"""Planned against measured, on this processor: ``python -m benchmarks.bench_plan`` prints a table, one line per case.

Memory is what each rank grew at most over what it held before the engine was built: the libraries warm, by a training
of the same model on one small sample, and what that has freed given back. Every rank is a process with one thread.
Time, by the clock and by the rank's processor time, which other programs on the machine do not lengthen: what a probe
would say, the median of steps 2 to 5, beside the median of the 10 steps after them.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from vesselbench.plugins import load_catalogue
from vesselbench.recipes import load_recipe
from vesselbench.training.accounting import PROBE

BIG = ("data.options.images=12", "data.options.size=256", "train.check_after=0", "configure=[]")
WIDE = ("unet", "train.augment.crop=192", "model.channels=[64,128,256,512]")
LOW = "train.precision=autocast"
CASES: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (1, 0, ("unet", "train.augment.crop=192", "train.batch_size=8")),
    (1, 2, (*WIDE, "train.batch_size=4")),
    (1, 3, (*WIDE, "train.batch_size=8", "train.micro_batch=4")),
    (1, 0, ("segresnet", "train.batch_size=4")),
    (1, 0, ("dynunet", "train.batch_size=4", LOW)),
    (1, 1, ("attention_unet", "train.batch_size=4")),
    (1, 0, ("unetplusplus", "train.batch_size=4")),
    (1, 0, ("swinunetr", "train.batch_size=2")),
    (1, 0, ("flexible_unet", "train.batch_size=4")),
    (1, 0, ("sa2va", "train.batch_size=16")),
    (1, 3, ("sa2va", "train.batch_size=16")),
    (2, 0, ("unet", "train.augment.crop=192", "train.batch_size=8", LOW)),
    (2, 1, (*WIDE, "train.batch_size=8")),
    (2, 2, (*WIDE, "train.batch_size=8")),
    (2, 3, (*WIDE, "train.batch_size=8")),
    (2, 0, ("segresnet", "train.batch_size=8")),
    (2, 2, ("dynunet", "train.batch_size=8")),
    (2, 0, ("attention_unet", "train.batch_size=8")),
    (2, 1, ("unetplusplus", "train.batch_size=8")),
    (2, 3, ("swinunetr", "train.batch_size=4")),
    (2, 3, ("sa2va", "train.batch_size=16")),
    (2, 3, ("sa2va", "train.batch_size=16", "train.micro_batch=1")),
    # the holes of the heap (vesselbench/planning/footing.py) were fitted to the cases above, not to those below
    (2, 1, ("flexible_unet", "train.batch_size=8")),
    (1, 0, ("unet", "train.augment.crop=128", "train.batch_size=16")),
    (1, 0, ("attention_unet", "train.batch_size=2")),
    (1, 2, ("swinunetr", "train.batch_size=4")),
    (1, 3, ("segresnet", "train.batch_size=4")),
    (1, 2, ("sa2va", "train.batch_size=4")),
    (1, 0, ("unetplusplus", "train.batch_size=4", "train.micro_batch=1")),
    (2, 3, ("dynunet", "train.batch_size=8")),
    (2, 0, ("sa2va", "train.batch_size=16")),
)
STEPS = 15


def measure(name: str, stage: int, changes: tuple[str, ...]) -> dict[str, Any]:
    """On this rank: bytes grown, seconds of each step by the clock and by the processor."""
    import gc

    from vesselbench import distributed
    from vesselbench.benchmarking.memory import HighWater
    from vesselbench.data.dataset import load_dataset
    from vesselbench.training.engine import Engine, prepare_process

    catalogue = load_catalogue()
    world = int(os.environ["WORLD_SIZE"])
    kept = [text for text in changes if not text.startswith(("train.batch_size", "train.micro_batch"))]
    little = [f"train.batch_size={world}", "train.augment.crop=64", "train.steps=1"]
    small, _ = load_recipe(name, catalogue, overrides=[*BIG, *kept, *little, f"train.zero_stage={stage}"])
    recipe, _ = load_recipe(
        name, catalogue, overrides=[*BIG, *changes, f"train.steps={STEPS}", f"train.zero_stage={stage}"]
    )
    device = prepare_process(recipe.train)
    dataset = distributed.on_first(lambda: load_dataset(recipe.data, catalogue))
    warm = Engine.build(small, dataset.task, catalogue, device)
    for _, batches in warm.train_batches(dataset.of("train")):
        warm.train_step(batches)
    warm.close()
    del warm, batches
    gc.collect()
    memory, seconds, busy = HighWater(device), [], []
    engine = Engine.build(recipe, dataset.task, catalogue, device)
    for _, batches in engine.train_batches(dataset.of("train")):
        started, used = time.perf_counter(), time.process_time()
        engine.train_step(batches)
        seconds.append(time.perf_counter() - started)
        busy.append(time.process_time() - used)
    grown = memory.grown()
    engine.close()
    distributed.disconnect()
    return {"grown": grown, "seconds": seconds, "busy": busy}


def launch(module: str, world: int, words: Sequence[str]) -> list[dict[str, Any]]:
    """What each of `world` ranks of ``python -m MODULE --rank WORDS`` measured: its last line, JSON."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", module, "--rank", *words]
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
        texts = [rank.communicate(timeout=900)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    return [json.loads(text.strip().splitlines()[-1]) for text in texts]


def told(found: list[dict[str, Any]], key: str) -> str:
    """What the probe's steps say of those that come after them, of the slowest rank."""
    probe, later = (
        max(statistics.median(rank[key][part]) for rank in found) for part in (slice(1, PROBE), slice(PROBE, None))
    )
    return f"{probe:.3f} {later:.3f} {probe / later:.2f}"


def main(numbers: list[int]) -> None:
    """Plan and measure the cases of these numbers, or all."""
    from vesselbench.planner import make_plan

    catalogue = load_catalogue()
    sys.stdout.write(
        "case ranks stage recipe | MiB planned measured ratio | s/step roofline | "
        "clock: probe, later, ratio | processor: the same\n"
    )
    for number in numbers or range(len(CASES)):
        world, stage, (name, *changes) = CASES[number]
        recipe, _ = load_recipe(name, catalogue, overrides=[*BIG, *changes, f"train.zero_stage={stage}"])
        plan = make_plan(recipe, catalogue, world)
        found = launch("benchmarks.bench_plan", world, (str(stage), name, *changes))
        grown = max(rank["grown"] for rank in found) / 2**20
        planned = plan.own.memory.total / 2**20
        times = " | ".join(told(found, key) for key in ("seconds", "busy"))
        parts = " ".join(f"{key} {value / 2**20:.0f}" for key, value in vars(plan.own.memory).items() if value)
        sys.stdout.write(
            f"{number:2} {world} {stage} {name} {' '.join(changes)} | {planned:.0f} {grown:.0f} "
            f"{planned / grown:.2f} | {plan.own.seconds.total:.3f} | {times} | {parts}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        stage, name, *changes = sys.argv[2:]
        sys.stdout.write("\n" + json.dumps(measure(name, int(stage), tuple(changes))) + "\n")
    else:
        main([int(word) for word in sys.argv[1:]])
