"""A few real optimizer steps on this machine, and what they say of a plan's seconds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from vesselbench import distributed
from vesselbench.config import Recipe
from vesselbench.data.dataset import load_dataset
from vesselbench.data.loader import accumulation
from vesselbench.plugins import Catalogue
from vesselbench.training.accounting import PROBE
from vesselbench.training.budget import Budget
from vesselbench.training.engine import Engine, prepare_process


@dataclass(frozen=True)
class Probed:
    """Median seconds of an optimizer step with micro-batches of this size, data included; all samples of a rank's step
    are `batch`."""

    micro: int
    batch: int
    seconds: float


@dataclass(frozen=True)
class Calibration:
    """Seconds of an optimizer step of B samples in micro-batches of m: ``B / m * each + rest``.

    each: what a micro-batch costs whatever its size (calls, and at stages 2 and 3 traffic); rest: what follows the
    samples, and the optimizer's step.
    """

    each: float
    rest: float
    lines: tuple[str, ...]

    def seconds(self, batch: int, micro: int) -> float:
        """Of an optimizer step."""
        return batch / micro * self.each + self.rest


WARM = 3
"""Steps before those that are timed: by then ZeRO-3 knows the order of the layers, and the heap has grown. With two
ranks of tiny Sa2VA steps 1 to 6 take 0.73, 0.59, 0.50, 0.39, 0.38 and 0.37 s."""
FAR = 4
"""Times the recipe's own micro-batch that the other probed one is nearest to: from the double of it, what a step of one
large micro-batch takes was foretold a third too long (benchmarks/bench_accumulation.py)."""


def probed_micros(recipe: Recipe, world: int, most: int) -> list[int]:
    """The recipe's own micro-batch, and of the other sizes up to `most` that divide the same batch the one nearest to
    `FAR` times its size."""
    own, accumulated = accumulation(recipe.train, world)
    batch = own * accumulated
    others = [size for size in range(1, min(batch, most) + 1) if batch % size == 0 and size != own]
    return [own, *sorted(others, key=lambda size: (abs(size - FAR * own), size))[:1]]


def probe(recipe: Recipe, catalogue: Catalogue, most: int) -> list[Probed]:
    """`PROBE` optimizer steps with each of `probed_micros`, after `WARM` not timed; every rank must call it."""
    device = prepare_process(recipe.train)
    dataset = distributed.on_first(partial(load_dataset, recipe.data, catalogue))
    found = []
    for micro in probed_micros(recipe, distributed.world(), most):
        length = {"epochs": None, "samples": None, "minutes": None, "steps": WARM + PROBE, "patience": 0}
        train = recipe.train.model_copy(update={**length, "micro_batch": micro, "validate_every": 0})
        short = recipe.model_copy(update={"train": train})
        engine = Engine.build(short, dataset.task, catalogue, device, Budget(train, WARM + PROBE))
        for _, batches in engine.train_batches(dataset.of("train")):
            engine.clock.lap("data")
            engine.train_step(batches)
            engine.clock.end_step()
            engine.clock.set_aside("probe")
        median = statistics.median(list(engine.clock.recent)[-PROBE:])
        engine.close()
        batch = micro * accumulation(train, distributed.world())[1]
        found.append(Probed(micro, batch, distributed.from_first(median)))
    distributed.disconnect()
    return found


def calibrate(probed: Sequence[Probed]) -> Calibration:
    """The two unknowns from two sizes of micro-batch; from one, all is taken to follow the samples."""
    own, *more = probed
    lines = [
        f"probe: {PROBE} steps of {one.batch // one.micro} x {one.micro}: {one.seconds:.3g} s each" for one in probed
    ]
    if not more:
        return Calibration(0.0, own.seconds, (*lines, "the batch allows one size of micro-batch only"))
    (other,) = more
    counts = own.batch / own.micro, own.batch / other.micro
    each = (own.seconds - other.seconds) / (counts[0] - counts[1])
    if each < 0:  # noise: more micro-batches are never less work
        lines.append("more micro-batches took less time: noise, so their number is taken to cost nothing")
        return Calibration(0.0, (own.seconds + other.seconds) / 2, tuple(lines))
    return Calibration(each, own.seconds - counts[0] * each, tuple(lines))
