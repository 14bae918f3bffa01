"""What a step costs: seconds, samples per second, memory."""

from __future__ import annotations

import resource
import statistics
import sys
import time

import torch


def peak_memory_bytes(device: torch.device) -> int:
    """Highest memory of this process so far: CUDA's allocator on a GPU, else the resident set."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)


class StepClock:
    """Splits each optimizer step into waiting for data and working on it.

    ``lap_data()`` when the batches are there, ``lap_work()`` when the step is done. The first step (allocation,
    first-use compilation) is kept out of the median.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._waits: list[float] = []
        self._steps: list[float] = []
        self._last = time.perf_counter()

    def lap_data(self) -> None:
        now = time.perf_counter()
        self._waits.append(now - self._last)
        self._last = now

    def lap_work(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self._steps.append(now - self._last + self._waits[-1])
        self._last = now

    def restart(self) -> None:
        """Leave out what happened since the last lap (a validation, a save)."""
        self._last = time.perf_counter()

    @property
    def last_step(self) -> float:
        """Seconds of the newest step, data included."""
        return self._steps[-1]

    @property
    def last_wait(self) -> float:
        """Seconds that the newest step waited for data."""
        return self._waits[-1]

    @property
    def total(self) -> float:
        """Seconds of all steps so far; validations and saves left out."""
        return sum(self._steps)

    def facts(self, batch_size: int) -> dict[str, float]:
        """train_seconds (validations and saves left out), seconds_per_step (median of all but the first),
        samples_per_second over all ranks, data_wait_share in [0, 1]."""
        median = statistics.median(self._steps[1:] or self._steps)
        return {
            "train_seconds": self.total,
            "seconds_per_step": median,
            "samples_per_second": batch_size / median,
            "data_wait_share": sum(self._waits) / self.total,
        }
