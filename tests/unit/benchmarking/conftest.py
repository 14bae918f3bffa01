"""What tests share that measure for real."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session")
def outside() -> dict[str, str]:
    """The environment as outside of a worker of pytest-xdist: inside of one pytest-benchmark times nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**kept, "OMP_NUM_THREADS": "1"}
