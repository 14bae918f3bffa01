"""How a failed process ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

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
def test_under_another_launcher_rank_0_reports_what_all_ranks_raise(rank, everywhere, speaks, as_rank):
    as_rank(rank)
    assert may_speak(everywhere) == speaks


def test_under_another_launcher_of_several_ranks_that_fail_one_speaks_and_again_after_a_restart(as_rank, monkeypatch):
    for restart in ("0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restart)
        told = []
        for rank in ("1", "0", "2"):
            as_rank(rank)
            told.append(may_speak())
        assert told == [True, False, False]


def test_where_no_lock_can_be_made_every_rank_speaks(as_rank, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    as_rank("1")
    assert may_speak()
    monkeypatch.setenv(ERROR_LOCK, str(tmp_path / "cleared" / "away"))
    assert not may_speak()


@pytest.fixture
def as_rank(monkeypatch, tmp_path):
    """Makes this process a rank of two that another launcher has started."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv(ERROR_LOCK, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    return lambda rank: monkeypatch.setenv("RANK", rank)
