"""The official training forward against the plugin's own: forward and backward, turn by turn in one run."""

from __future__ import annotations

import statistics
import time
from itertools import accumulate

import pytest
import torch

from benchmarks.official_arrangement import make_batch, make_module

CASES = {"tiny-a": (2, 60), "middle": (2, 7)}
"""Size -> (tiles of the image, rounds)."""


class Contestant:
    """A module and the time of its steps."""

    def __init__(self, size: str, arrangement: str, tokens: str) -> None:
        self.module, self.batch = make_module(size, arrangement, tokens), make_batch(size, CASES[size][0])
        self.parameters = [part for part in self.module.parameters() if part.requires_grad]
        self.seconds: list[float] = []

    def step(self) -> None:
        """Forward and backward; clearing the gradients is not timed."""
        for parameter in self.parameters:
            parameter.grad = None
        start = time.perf_counter()
        self.module.loss(self.batch)["loss"].backward()
        self.seconds.append(time.perf_counter() - start)


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
def bench_sa2va_arrangement(benchmark, note, size, tokens):
    """`tokens`: of the official arrangement; official trains whole copies of embedding and head, as it does."""
    official, own = Contestant(size, "official", tokens), Contestant(size, "default", "lean")
    for _ in range(2):
        official.step()
        own.step()
    peaks = {"official": peak_of(official), "default": peak_of(own)}
    official.seconds.clear()
    own.seconds.clear()

    def both() -> None:
        official.step()
        own.step()

    benchmark.pedantic(both, rounds=CASES[size][1], warmup_rounds=1)
    ratios = [slow / fast for slow, fast in zip(official.seconds, own.seconds, strict=True)]
    note(
        1,
        official_seconds=statistics.median(official.seconds),
        default_seconds=statistics.median(own.seconds),
        speedup=statistics.median(ratios),
        peak_step_bytes=peaks,
    )
