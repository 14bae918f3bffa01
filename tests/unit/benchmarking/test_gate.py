"""`python -m benchmarks.gate` by itself: real measurements of one benchmark, and the exit code that CI sees."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.baseline import FOLDER

ROOT = Path(__file__).parents[3]
NAME = "bench_product.py::bench_product"
SETTINGS = "[pytest]\npython_files = bench_*.py\npython_functions = bench_*\n"
SHARED = """\
import os
import pytest
import torch
from benchmarks.conftest import pytest_configure, timed

@pytest.fixture(scope="session")
def device():
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    return torch.device("cpu")
"""
PRODUCT = """\
import os
import time
import torch

def bench_product(timed):
    matrix, slower = torch.ones(1024, 1024), float(os.environ.get("SLOWER", "1"))

    def act():
        started = time.perf_counter()
        matrix @ matrix
        time.sleep((slower - 1) * (time.perf_counter() - started))

    timed(act, samples=1, data=0.0)
"""
UNMEASURED = "def bench_product(benchmark):\n    benchmark.pedantic(int, rounds=2)\n"
BROKEN = "def bench_product(timed):\n    raise RuntimeError('cannot be measured')\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    """One benchmark: a matrix product, which takes $SLOWER times as long as it does."""
    for name, text in {"pytest.ini": SETTINGS, "conftest.py": SHARED, "bench_product.py": PRODUCT}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def gate(folder, outside) -> Callable[..., tuple[int, str]]:
    """Exit code and output of the gate over the folder's benchmark, with further variables of the environment."""

    def run(**environment: str) -> tuple[int, str]:
        known = {FOLDER: str(folder / "baselines"), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.gate", "bench_product.py"],
            cwd=folder,
            env={**outside, **known, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return run


@pytest.mark.timeout(900)  # five measurements, each in a process of its own
def test_the_first_run_stores_an_equal_one_passes_a_slower_one_ends_with_3_and_another_machine_stores(folder, gate):
    code, said = gate()
    assert code == 0, said
    assert "no baseline of this machine" in said
    assert "stored these 1 in" in said
    (stored,) = (folder / "baselines").iterdir()
    before = stored.read_bytes()

    code, said = gate()
    assert code == 0, said
    assert "1 entries compared\n" in said
    assert said.endswith("none has become slower\n")

    code, said = gate(SLOWER="5")
    assert code == 3, said
    assert f"seems slower, is measured again: {NAME}: " in said
    assert f"SLOWER: {NAME}: " in said
    assert "1 of 1 entries became slower; if that is meant: python -m benchmarks.gate --accept" in said
    assert stored.read_bytes() == before, "a regression becomes the baseline by --accept only"

    code, said = gate(SLOWER="5", THREADS="2")
    assert code == 0, said
    assert "no baseline of this machine" in said
    assert len(list((folder / "baselines").iterdir())) == 2
    fingerprints = {json.loads(path.read_text())["fingerprint"] for path in (folder / "baselines").iterdir()}
    assert fingerprints == {path.stem for path in (folder / "baselines").iterdir()}


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [(BROKEN, 1, "cannot be measured"), (UNMEASURED, 2, f"error: {NAME} noted no figures")],
    ids=["fails", "measures nothing"],
)
def test_a_benchmark_that_fails_ends_with_1_and_one_that_measures_nothing_with_2(folder, gate, text, code, message):
    (folder / "bench_product.py").write_text(text)
    found, said = gate()
    assert found == code, said
    assert message in said
    assert not (folder / "baselines").exists()
