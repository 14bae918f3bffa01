"""Latency and bandwidth of two processes over gloo: ``python -m benchmarks.bench_collectives``.

For configs/interconnects/shared-memory.yaml: the collectives of ZeRO-3, all-gather and reduce-scatter, of float32
tensors from 4 KiB to 64 MiB, 1 thread per process. Bytes are what a rank sends, half of the tensor. Latency is the time
of the smallest; bandwidth the slope of a straight line through the four largest.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import torch

from benchmarks.bench_plan import launch

RANKS, ROUNDS, WARM = 2, 15, 3
SIZES = tuple(4 * 2**10 * 4**power for power in range(8))
"""Bytes of the whole tensor."""
NAMES = ("all-gather", "reduce-scatter")


def measure() -> dict[str, list[float]]:
    """On this rank: median seconds of each collective, by size."""
    import torch.distributed as dist

    from vesselbench import distributed

    torch.set_num_threads(1)
    distributed.connect(torch.device("cpu"), 1)
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for size in SIZES:
        whole, part = torch.ones(size // 4), torch.ones(size // 4 // RANKS)
        calls = (
            lambda whole=whole, part=part: dist.all_gather_single(whole, part),
            lambda whole=whole, part=part: dist.reduce_scatter_single(part, whole),
        )
        for name, call in zip(NAMES, calls, strict=True):
            seconds = []
            for _ in range(WARM + ROUNDS):
                dist.barrier()
                started = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - started)
            found[name].append(statistics.median(seconds[WARM:]))
    distributed.disconnect()
    return found


def main() -> None:
    """Measure, and say the line through the points of each collective."""
    ranks = launch("benchmarks.bench_collectives", RANKS, ())
    for name in NAMES:
        medians = [max(rank[name][n] for rank in ranks) for n in range(len(SIZES))]
        sent = [size / RANKS for size in SIZES]
        slope, _ = statistics.linear_regression(sent[4:], medians[4:])
        listed = ", ".join(f"{size // 1024} KiB {1e3 * one:.2f} ms" for size, one in zip(SIZES, medians, strict=True))
        sys.stdout.write(f"{name}: latency {1e6 * medians[0]:.0f} us, {1e-9 / slope:.2f} GB/s; {listed}\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        sys.stdout.write("\n" + json.dumps(measure()) + "\n")
    else:
        main()
