"""What all benchmarks share: recipes on a small phantom, an open process group, figures beside each time.

``pytest benchmarks/`` stores its results as JSON below ``.benchmarks/`` by itself; ``--benchmark-json FILE`` names a
file of your own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from vesselbench import distributed
from vesselbench.config import Recipe
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.plugins import Catalogue, load_catalogue
from vesselbench.recipes import load_recipe
from vesselbench.training.engine import prepare_process
from vesselbench.training.gauges import peak_memory_bytes

MODELS = ("unet", "sa2va")
CLEAR_PEAK, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
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


@pytest.fixture(autouse=True)
def fresh_peak(device: torch.device) -> None:
    """Let the peak memory of each benchmark be its own: start the high-water mark anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR_PEAK.exists():
        CLEAR_PEAK.write_text("5")


def peak_bytes(device: torch.device) -> int:
    """Highest memory since `fresh_peak`: CUDA's, else the resident set's high-water mark (Linux)."""
    if device.type == "cuda" or not STATUS.exists():
        return peak_memory_bytes(device)
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


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
            peak_memory_bytes=peak_bytes(device),
            **more,
        )

    return write
