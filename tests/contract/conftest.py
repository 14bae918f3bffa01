"""The real engine in this process, once for all contract tests."""

from __future__ import annotations

import pytest
import torch

from vesselbench import distributed
from vesselbench.config import TrainConfig
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.plugins import Catalogue, load_catalogue
from vesselbench.recipes import validate_recipe
from vesselbench.training.engine import prepare_process


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="session")
def dataset(catalogue) -> Dataset:
    """A dozen phantoms of 64 x 64 pixels."""
    options = {"images": 12, "size": 64, "per_group": 2}
    return load_dataset(
        validate_recipe({"name": "x", "model": {"name": "unet"}, "data": {"options": options}}, catalogue).data,
        catalogue,
    )


@pytest.fixture(scope="session")
def device() -> torch.device:
    """This process, prepared as a run prepares it: one process group for the whole session."""
    threads = torch.get_num_threads()
    found = prepare_process(TrainConfig(device="cpu"))
    torch.set_num_threads(1)
    yield found
    distributed.disconnect()
    torch.set_num_threads(threads)
