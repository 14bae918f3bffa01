"""References are timed once a lap; memory is counted from the making of its mark on."""

from __future__ import annotations

import torch

from vesselbench.benchmarking.memory import HighWater
from vesselbench.benchmarking.peaks import Peaks

CPU = torch.device("cpu")


def test_every_lap_gives_one_rate_of_each_reference():
    peaks = Peaks(CPU, torch.float32)
    assert peaks.taken() == {"matmul": (), "convolution": ()}
    peaks.lap()
    peaks.lap()
    assert [len(rates) for rates in peaks.taken().values()] == [2, 2]
    assert all(1e8 < rate < 1e15 for rates in peaks.taken().values() for rate in rates)


def test_the_high_water_mark_sees_what_was_held_and_freed_since_it_was_made():
    mark = HighWater(CPU)
    block = torch.ones(64 * 2**20, dtype=torch.uint8)
    del block
    assert mark.peak() >= mark.before + 60 * 2**20
    assert mark.grown() >= 60 * 2**20
    assert HighWater(CPU).grown() < 60 * 2**20
