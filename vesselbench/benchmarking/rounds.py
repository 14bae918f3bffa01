"""Rounds of one entry as they are taken, in this process, with peaks and memory of the same minutes."""

from __future__ import annotations

import torch

from vesselbench.benchmarking.figures import Figures
from vesselbench.benchmarking.memory import HighWater
from vesselbench.benchmarking.peaks import Peaks


class Rounds:
    """Make it before what is measured is built; take `Figures` when all rounds are done.

    `dtype`: in which the entry's convolutions and matrix products are computed, and so the references beside it.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._device, self._dtype = device, dtype
        self._peaks = Peaks(device, dtype)
        self._memory = HighWater(device)
        self._seconds: list[float] = []
        self._waited = 0.0

    def before(self) -> None:
        """Right before a round that counts: time the references."""
        self._peaks.lap()

    def after(self, seconds: float, waited: float) -> None:
        """A round took so many seconds; of these, so many went into reading or waiting for data."""
        self._seconds.append(seconds)
        self._waited += waited

    def figures(self, what: str, *, samples: int, warmup: int, flops: int) -> Figures:
        """All of it; `samples` and `flops` are those of one round."""
        return Figures(
            what=what,
            seconds=tuple(self._seconds),
            warmup=warmup,
            samples=samples,
            data_wait_share=self._waited / sum(self._seconds),
            peak_memory_bytes=self._memory.peak(),
            grown_bytes=self._memory.grown(),
            flops=flops,
            references=self._peaks.taken(),
            device=str(self._device),
            dtype=str(self._dtype).removeprefix("torch."),
            threads=torch.get_num_threads(),
        )
