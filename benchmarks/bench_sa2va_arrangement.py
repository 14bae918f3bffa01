"""The official training forward against the plugin's own: forward and backward, turn by turn in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pytest
import torch

from benchmarks.official_arrangement import make_batch, make_module
from benchmarks.plain_official import PlainOfficial
from vesselbench import Batch

TILES = 2
CASES = {"tiny-a": (15, 10), "middle": (7, 1)}
"""Size -> (rounds, steps one after the other in each).

A training makes steps of one model, one after the other. With single steps by turns each model finds the caches full of
another one's numbers, which prolongs short steps: those of tiny-a's size by a fifth."""
SMALLEST = "tiny-a"
"""What stands for every size where nothing is timed: building and one step of the middle one take half a minute."""


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Contestant:
    """A model, one batch, and the mean time of the steps of each round."""

    def __init__(self, model: Any, batch: Batch) -> None:
        self.model, self.batch = model, batch
        self.parameters = [part for part in model.parameters() if part.requires_grad]
        self.seconds: list[float] = []

    def step(self) -> float:
        """Forward and backward, in seconds of processor time, which other programs prolong less; clearing the gradients
        is not timed."""
        for parameter in self.parameters:
            parameter.grad = None
        start = time.process_time()
        self.model.loss(self.batch)["loss"].backward()
        return time.process_time() - start

    def take(self, steps: int) -> None:
        """So many steps."""
        self.seconds.append(statistics.mean(self.step() for _ in range(steps)))

    def first_loss(self) -> float:
        """Of equal random numbers for all."""
        torch.manual_seed(0)
        return float(self.model.loss(self.batch)["loss"].detach())


def peak_of(contestant: Contestant) -> int:
    """Most bytes of tensors that one step holds above what was held before it, as torch's allocator counts them.

    (The resident set would not do: memory that the other one has freed is used again without growing it.)
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        contestant.step()
    results = profile.profiler.kineto_results.events()
    changes = sorted((event.start_ns(), event.nbytes()) for event in results if event.name() == "[memory]")
    return max(accumulate(change for _, change in changes))


@pytest.mark.parametrize("tokens", ["lean", "official"])
@pytest.mark.parametrize("size", CASES)
def bench_sa2va_arrangement(one_thread, timed, size, tokens):
    """Three official sides: transformers' modules, the same with gradient checkpointing, as the official configuration
    has it, and plain torch without any modules. `tokens` is theirs: official trains whole copies of embedding and head,
    as the official code does. One thread: tiny-a's numbers are too few to share (docs/sa2va.md has both)."""
    (rounds, steps), size = CASES[size], size if timed.enabled else SMALLEST
    module, batch = make_module(size, "official", tokens), make_batch(size, TILES)
    models = {
        "official": module,
        "checkpointed": make_module(size, "checkpointed", tokens),
        "plain": PlainOfficial(module),
        "default": make_module(size, "default"),
    }
    contestants = {name: Contestant(model, batch) for name, model in models.items()}
    losses = [contestant.first_loss() for contestant in contestants.values()]
    assert losses[1:3] == pytest.approx([losses[0]] * 2, rel=1e-6)  # the same arithmetic

    def turn() -> None:
        for contestant in contestants.values():
            contestant.take(steps if timed.enabled else 1)

    if timed(turn, samples=steps * len(contestants), data=0.0, rounds=rounds, warmup=2) is None:
        return
    times = {name: contestant.seconds[-rounds:] for name, contestant in contestants.items()}
    peaks = {name: peak_of(contestant) for name, contestant in contestants.items()}

    def speedup(name: str) -> float:
        return statistics.median(slow / fast for slow, fast in zip(times[name], times["default"], strict=True))

    timed.note(
        seconds={name: statistics.median(values) for name, values in times.items()},
        speedup=speedup("official"),
        speedup_over_checkpointed=speedup("checkpointed"),
        speedup_over_plain=speedup("plain"),
        peak_step_bytes=peaks,
    )
