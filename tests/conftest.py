"""Options of the whole suite, and the real engine in this process, once for all tests that train."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from vesselbench.plugins import Catalogue, load_catalogue

# One thread everywhere: a run in this process and one in a process of its own must add in the same order to be equal to
# the bit. Set before torch is imported, and inherited by what the tests start.
os.environ["OMP_NUM_THREADS"] = "1"

# What a shell starts in the background ignores SIGINT, and so does all that it starts; some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test asserts a time: on a busy machine one example took longer than hypothesis' 200 ms.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

if TYPE_CHECKING:
    import torch

    from vesselbench.data.dataset import Dataset


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-dir",
        action="append",
        default=[],
        help="folder of a parity fixture (config.json, model, inputs, expected); may be given repeatedly",
    )
    parser.addoption("--write-golden", action="store_true", help="store the losses and scores of the golden runs anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Parity first: its losses are held to 1e-6, the rounding of one choice of kernels on mask logits of ±90.

    After a bf16 training in the same process other kernels are chosen, and the same losses differ by 7e-6 (measured).
    Then what takes longest, the jobs of two processes: files go whole to one of the processes that share the tests.
    """
    items.sort(key=lambda item: ("parity" not in item.path.parts, "distributed" not in item.path.parts))


@pytest.fixture(scope="session", autouse=True)
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Test sets are scored into ledgers of this test run, also by the processes that it starts."""
    folder = tmp_path_factory.mktemp("ledgers")
    before = os.environ.get("VESSELBENCH_LEDGER")
    os.environ["VESSELBENCH_LEDGER"] = str(folder)
    yield folder
    if before is None:
        del os.environ["VESSELBENCH_LEDGER"]
    else:
        os.environ["VESSELBENCH_LEDGER"] = before


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture(scope="session")
def dataset(catalogue: Catalogue) -> Dataset:
    """A dozen phantoms of 64 x 64 pixels."""
    from vesselbench.config import DataConfig
    from vesselbench.data.dataset import load_dataset

    return load_dataset(DataConfig(options={"images": 12, "size": 64, "per_group": 2}), catalogue)


@pytest.fixture(scope="session")
def device() -> Iterator[torch.device]:
    """This process, prepared as a run prepares it, with one thread."""
    import torch

    from vesselbench.config import TrainConfig
    from vesselbench.training.engine import prepare_process

    threads = torch.get_num_threads()
    found = prepare_process(TrainConfig(device="cpu"))
    torch.set_num_threads(1)
    yield found
    torch.set_num_threads(threads)
