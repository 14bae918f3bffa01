"""The ledger of a test set: every scoring is in it, and what was done to it shows."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from vesselbench.errors import UserError
from vesselbench.ledger import FIRST, Scoring, enter, ledger_file, ledger_folder, missing, read_ledger

SET = "ab" * 32


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VESSELBENCH_LEDGER", str(tmp_path / "ledger"))
    return tmp_path / "ledger"


def scoring(seed=0, weights="c0" * 32):
    return Scoring("unet", "unet", f"unet/2026-{seed}", seed, weights, "dice")


def filled(count=3):
    for seed in range(count):
        enter(SET, scoring(seed))
    return ledger_file(SET)


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


def test_scorings_stand_in_a_whole_chain():
    assert read_ledger(SET).entries == ()
    filled()
    ledger = read_ledger(SET)
    assert ledger.faults == ()
    assert [entry.number for entry in ledger.entries] == [1, 2, 3]
    assert [entry.previous for entry in ledger.entries] == [FIRST, *(entry.sha256 for entry in ledger.entries[:2])]
    assert ledger.entries[2].scoring == scoring(2)
    assert read_ledger("cd" * 32).entries == ()


def test_entering_returns_the_entry_and_the_ledger_before():
    filled(1)
    entry, before = enter(SET, scoring(7))
    assert (entry.number, len(before.entries)) == (2, 1)
    assert read_ledger(SET).entries[1] == entry


def change(lines):
    facts = json.loads(lines[1])
    lines[1] = json.dumps({**facts, "recipe": "another"}).encode() + b"\n"


DAMAGES = {
    "changed": (change, "line 3 does not follow"),
    "removed": (lambda lines: lines.pop(1), "line 2 does not follow"),
    "first removed": (lambda lines: lines.pop(0), "line 1 does not follow"),
    "exchanged": (lambda lines: lines.insert(0, lines.pop(1)), "line 1 does not follow"),
    "doubled": (lambda lines: lines.insert(1, lines[0]), "line 2 does not follow"),
    "spoilt": (lambda lines: lines.__setitem__(1, b"{}\n"), "line 2 is no entry"),
    "not text": (lambda lines: lines.__setitem__(1, b"\xff\xfe\n"), "line 2 is no entry"),
    "cut in a line": (lambda lines: lines.__setitem__(2, lines[2][:-9]), "the last line has no end"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_chain_is_found_and_stays_as_it_is_when_the_next_scoring_comes(damage):
    path = filled()
    lines = lines_of(path)
    do, fault = DAMAGES[damage]
    do(lines)
    path.write_bytes(b"".join(lines))
    assert any(fault in found for found in read_ledger(SET).faults)
    _, before = enter(SET, scoring(9))
    assert any(fault in found for found in before.faults)
    assert path.read_bytes().startswith(b"".join(lines))
    after = read_ledger(SET)
    assert after.faults
    assert after.entries[-1].scoring == scoring(9)


def test_lines_cut_off_the_end_show_against_what_the_runs_noted():
    path = filled()
    anchors = {
        entry.scoring.run: {"number": entry.number, "sha256": entry.sha256} for entry in read_ledger(SET).entries
    }
    assert missing(read_ledger(SET), anchors) == []
    path.write_bytes(b"".join(lines_of(path)[:-1]))
    ledger = read_ledger(SET)
    assert ledger.faults == ()
    (fault,) = missing(ledger, anchors)
    assert fault.startswith("entry 3, the scoring of unet/2026-2, is not in it")


def test_processes_at_the_same_time_lose_no_line():
    script = (
        "from vesselbench.ledger import Scoring, enter\n"
        f"for n in range(15): enter({SET!r}, Scoring('unet', 'unet', 'unet/x', n, 'c0', 'dice'))"
    )
    started = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in started] == [0, 0, 0]
    ledger = read_ledger(SET)
    assert (len(ledger.entries), ledger.faults) == (45, ())


def test_what_cannot_be_recorded_is_a_user_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("VESSELBENCH_LEDGER", str(tmp_path / "file" / "ledger"))
    with pytest.raises(UserError, match="cannot write the ledger of the test set") as caught:
        enter(SET, scoring())
    assert "VESSELBENCH_LEDGER" in caught.value.hint


def test_the_default_folder_is_the_users_state_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("VESSELBENCH_LEDGER")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert ledger_folder() == tmp_path / "vesselbench" / "ledger"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert ledger_folder().parts[-4:] == (".local", "state", "vesselbench", "ledger")
