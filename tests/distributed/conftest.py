"""Real processes, with a limit after which every one of them prints where it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.distributed.faults import end_with_stacks

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path) -> Command:
    """Runs ``python -m vesselbench WORDS`` in `tmp_path`. After `timeout` seconds each process of the job is made to
    print its stacks, all are ended, and the test fails with them."""

    def run(*words: str, timeout: float = 150) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONFAULTHANDLER": "1", "OMP_NUM_THREADS": "1"}
        with open(tmp_path / "out.txt", "w+") as out, open(tmp_path / "err.txt", "w+") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "vesselbench", *words], cwd=tmp_path, env=environment, stdout=out, stderr=err
            )
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                end_with_stacks(process.pid)
                err.seek(0)
                pytest.fail(f"{words} took more than {timeout} s:\n{err.read()[-20000:]}")
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(words, code, out.read(), err.read())

    return run
