"""How a failed process ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from vesselbench.jobs import ERROR_LOCK, may_speak

SCRIPT = """
import atexit
atexit.register(print, "cleared up")
print("said", end="")
from vesselbench.jobs import end
end(5)
"""


@pytest.mark.parametrize(
    ("environment", "expected"), [({}, "saidcleared up\n"), ({"RANK": "0", "WORLD_SIZE": "2"}, "said")]
)
def test_a_failed_rank_ends_at_once_with_its_code_and_all_it_has_said(environment, expected):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (5, expected, "")


@pytest.mark.parametrize(("rank", "everywhere", "speaks"), [("0", True, True), ("1", True, False), ("1", False, True)])
def test_under_another_launcher_rank_0_reports_what_all_ranks_raise(rank, everywhere, speaks, monkeypatch):
    monkeypatch.delenv(ERROR_LOCK, raising=False)
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert may_speak(everywhere) == speaks
