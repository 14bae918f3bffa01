"""References are timed once a lap; memory is counted from the making of its mark on."""

from __future__ import annotations

import subprocess
import sys

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


MEMORY_IN_KEPT_PAGES = """
import torch
from vesselbench.allocator import keep_freed_pages
from vesselbench.benchmarking.memory import HighWater

def hold_and_free():
    blocks = [torch.ones(2**23, dtype=torch.uint8) for _ in range(12)]
    del blocks

keep_freed_pages()
hold_and_free()
mark = HighWater(torch.device("cpu"))
hold_and_free()
print(mark.grown())
"""


def test_the_high_water_mark_sees_memory_in_pages_that_the_process_had_kept():
    command = [sys.executable, "-c", MEMORY_IN_KEPT_PAGES]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert 90 * 2**20 <= grown <= 110 * 2**20
