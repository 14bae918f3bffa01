"""How fast this machine computes right now: one matrix product and one convolution, timed beside every round."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from vesselbench.benchmarking.figures import REFERENCES

SIDES = {"cpu": (1024, (2, 64, 96)), "cuda": (8192, (16, 256, 128))}
"""Device -> (side of the square matrices, (images, channels, side) of a 3 x 3 convolution): some 10 ms each."""


class Peaks:
    """Rates of the references in FLOP/s, a value for every `lap`. Making it runs both twice, which does not count."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        side, (count, channels, width) = SIDES[device.type]
        generator = torch.Generator(device).manual_seed(0)

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator, device=device, dtype=dtype)

        a, b = random(side, side), random(side, side)
        images, kernel = random(count, channels, width, width), random(channels, channels, 3, 3)
        self._device = device
        work: tuple[Callable[[], torch.Tensor], ...] = (lambda: a @ b, lambda: F.conv2d(images, kernel, padding=1))
        flops = 2 * side**3, 2 * count * width**2 * channels**2 * 9
        self._works = dict(zip(REFERENCES, zip(work, flops, strict=True), strict=True))
        self.rates: dict[str, list[float]] = {name: [] for name in REFERENCES}
        self.lap()
        self.lap()
        self.forget()

    @torch.no_grad()
    def lap(self) -> None:
        """Time each of them once."""
        for name, (work, flops) in self._works.items():
            self._wait()
            started = time.perf_counter()
            work()
            self._wait()
            self.rates[name].append(flops / (time.perf_counter() - started))

    def forget(self) -> None:
        """Begin anew: what follows is another entry's."""
        for rates in self.rates.values():
            rates.clear()

    def taken(self) -> dict[str, tuple[float, ...]]:
        """The rates since the last `forget`."""
        return {name: tuple(rates) for name, rates in self.rates.items()}

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
