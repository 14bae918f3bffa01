"""What all benchmarks share: recipes on a small phantom, an open process group, figures beside each time.

``pytest benchmarks/`` stores its results as JSON below ``.benchmarks/`` by itself; ``--benchmark-json FILE`` names a
file of your own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from vesselbench import distributed
from vesselbench.config import Recipe
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.plugins import Catalogue, load_catalogue
from vesselbench.recipes import load_recipe
from vesselbench.training.engine import prepare_process
from vesselbench.training.telemetry import peak_memory_bytes

MODELS = ("unet", "sa2va")
PHANTOM = ["data.options.images=40"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not config.option.benchmark_json:
        config.option.benchmark_autosave = True
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


@pytest.fixture
def note(benchmark: Any, device: torch.device) -> Callable[..., None]:
    """Writes device, dtype, batch, samples/s (from the median) and peak memory beside the timing just taken."""

    def write(samples: int, dtype: str = "float32", **more: object) -> None:
        if benchmark.stats is None:  # --benchmark-disable: nothing was timed
            return
        benchmark.extra_info.update(
            device=str(device),
            threads=torch.get_num_threads(),
            dtype=dtype,
            batch=samples,
            samples_per_second=samples / benchmark.stats.stats.median,
            peak_memory_bytes=peak_memory_bytes(device),
            **more,
        )

    return write
