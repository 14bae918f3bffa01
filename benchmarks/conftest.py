"""What all benchmarks share: recipes on a small phantom, an open process group, and the one way to measure.

``pytest benchmarks/`` stores its results as JSON below ``.benchmarks/`` by itself; ``--benchmark-json FILE`` names a
file of your own. ``python -m benchmarks.gate`` holds them against a baseline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
import torch

from vesselbench import distributed
from vesselbench.benchmarking.figures import Figures
from vesselbench.benchmarking.flops import count_flops
from vesselbench.benchmarking.machine import this_machine
from vesselbench.benchmarking.rounds import Rounds
from vesselbench.config import Recipe
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.plugins import Catalogue, is_trained, load_catalogue
from vesselbench.recipes import load_recipe
from vesselbench.training.engine import prepare_process

MODELS = ("unet", "sa2va")
TRAINED = [name for name, plugin in load_catalogue().models.items() if is_trained(plugin)]
PHANTOM = ["data.options.images=40"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not config.option.benchmark_json:
        config.option.benchmark_autosave = time.strftime("%Y%m%d-%H%M%S")
    config.option.benchmark_disable_gc = True


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="session")
def recipe(catalogue: Catalogue) -> Callable[..., Recipe]:
    """A shipped recipe on the small phantom, with overrides."""

    def make(name: str, *overrides: str) -> Recipe:
        return load_recipe(name, catalogue, overrides=[*PHANTOM, *overrides])[0]

    return make


@pytest.fixture(scope="session")
def dataset(recipe: Callable[..., Recipe], catalogue: Catalogue) -> Dataset:
    return load_dataset(recipe("unet").data, catalogue)


@pytest.fixture(scope="session")
def device(recipe: Callable[..., Recipe]) -> Iterator[torch.device]:
    """This process as a run would prepare it: threads set, process group open."""
    yield prepare_process(recipe("unet").train)
    distributed.disconnect()


class Timed:
    """Measures one entry, in float32. What the process holds at its making is not the entry's."""

    def __init__(self, benchmark: Any, device: torch.device) -> None:
        self._benchmark, self._device = benchmark, device
        self._rounds = None if benchmark.disabled else Rounds(device)

    def __call__(
        self,
        act: Callable[[], object],
        *,
        samples: int,
        data: float | Callable[[], float],
        rounds: int = 15,
        warmup: int = 2,
        counted: bool = True,
    ) -> Figures | None:
        """Call `act` `warmup` times (the first under the counter of operations), then `rounds` times against the clock,
        with the references before each, and note the figures. With --benchmark-disable: one call, and None.

        samples: done by one call. data: share of each round that goes into reading data, or what tells the seconds of
        the newest round that did. counted: False where processes of their own do the work.
        """
        if self._rounds is None:
            self._benchmark.pedantic(act, rounds=1)
            return None
        waits: list[float] = []

        def once() -> None:
            act()
            if callable(data):
                waits.append(data())

        flops = count_flops(act) if counted else 0
        for _ in range(warmup - counted):
            act()
        self._benchmark.pedantic(once, setup=self._rounds.before, rounds=rounds)
        for number, seconds in enumerate(self._benchmark.stats.stats.data):
            self._rounds.after(seconds, waits[number] if callable(data) else data * seconds)
        figures = self._rounds.figures(self._benchmark.name, samples=samples, warmup=warmup, flops=flops)
        machine = this_machine(figures.threads, _device_name(self._device))
        self.note(figures=figures.as_json(), machine=asdict(machine))
        return figures

    @property
    def enabled(self) -> bool:
        """Whether anything is measured; with --benchmark-disable an entry only shows that it still works, and may be
        smaller."""
        return self._rounds is not None

    def note(self, **facts: object) -> None:
        """Facts beside the figures; nothing with --benchmark-disable."""
        if self.enabled:
            self._benchmark.extra_info.update(facts)


def _device_name(device: torch.device) -> str:
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


@pytest.fixture
def timed(benchmark: Any, device: torch.device) -> Timed:
    """The way to measure: `timed(act, samples=..., data=...)`."""
    return Timed(benchmark, device)
