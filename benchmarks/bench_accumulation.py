"""Accumulation against one large micro-batch, foretold and measured: ``python -m benchmarks.bench_accumulation``.

Tiny Sa2VA at ZeRO stage 3 on two ranks, 8 samples per rank and optimizer step: 8 x 1, 2 x 4 and 1 x 8. The three take
turns within one run, so that what else the machine does falls on all of them. Two forecasts of the gain from 8 x 1 to
1 x 8 stand beside what is measured: the roofline's, and the probe's, which has seen 8 x 1 and 2 x 4 alone.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from benchmarks.bench_plan import launch
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import load_recipe

RANKS, EACH, ROUNDS, WARM = 2, 8, 5, 2
WORDS = ["data.options.images=12", "train.zero_stage=3", "train.check_after=0", f"train.batch_size={RANKS * EACH}"]
MICROS = (1, 4, 8)


def measure() -> dict[int, list[float]]:
    """On this rank: seconds of the steps of each micro-batch, in turn."""
    from vesselbench import distributed
    from vesselbench.data.dataset import load_dataset
    from vesselbench.training.engine import Engine, prepare_process

    catalogue = load_catalogue()
    recipes = [load_recipe("sa2va", catalogue, overrides=[*WORDS, f"train.micro_batch={one}"])[0] for one in MICROS]
    device = prepare_process(recipes[0].train)
    dataset = distributed.on_first(lambda: load_dataset(recipes[0].data, catalogue))
    engines = {
        micro: Engine.build(one, dataset.task, catalogue, device) for micro, one in zip(MICROS, recipes, strict=True)
    }
    steps = {micro: engine.train_batches(dataset.of("train")) for micro, engine in engines.items()}
    seconds: dict[int, list[float]] = {micro: [] for micro in MICROS}
    for number in range(WARM + ROUNDS):
        for micro, engine in engines.items():
            started = time.perf_counter()
            _, batches = next(steps[micro])
            engine.train_step(batches)
            if number >= WARM:
                seconds[micro].append(time.perf_counter() - started)
    for engine in engines.values():
        engine.close()
    distributed.disconnect()
    return seconds


def main() -> None:
    """Foretell and measure."""
    from vesselbench.planner import make_plan
    from vesselbench.planning.probe import Probed, calibrate

    catalogue = load_catalogue()
    recipe, _ = load_recipe("sa2va", catalogue, overrides=[*WORDS, "train.micro_batch=1"])
    plan = make_plan(recipe, catalogue, RANKS)
    roof = {one.setting.micro_batch: one.seconds.total for one in plan.ranked if one.setting.stage == 3}
    found = launch("benchmarks.bench_accumulation", RANKS, ())
    rounds = [{micro: max(rank[str(micro)][n] for rank in found) for micro in MICROS} for n in range(ROUNDS)]
    median = {micro: statistics.median(one[micro] for one in rounds) for micro in MICROS}
    probe = calibrate([Probed(micro, EACH, median[micro]) for micro in MICROS[:2]])
    gains = sorted(one[1] / one[8] for one in rounds)
    sys.stdout.write(
        f"seconds per step: {', '.join(f'{EACH // m} x {m}: {median[m]:.3f}' for m in MICROS)}\n"
        f"gain of 1 x 8 over 8 x 1: roofline {roof[1] / roof[8]:.2f}, probe of 8 x 1 and 2 x 4 "
        f"{probe.seconds(EACH, 1) / probe.seconds(EACH, 8):.2f}, measured {statistics.median(gains):.2f} "
        f"({gains[0]:.2f} to {gains[-1]:.2f} in {ROUNDS} rounds)\n"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        sys.stdout.write("\n" + json.dumps(measure()) + "\n")
    else:
        main()
