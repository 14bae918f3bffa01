"""A bundle shows the ledger into which its runs were entered, whole, or it is not written."""

from __future__ import annotations

import shutil

import pytest

from vesselbench import UserError
from vesselbench.evidence.bundle import Wish, write_bundle
from vesselbench.ledger import ledger_file
from vesselbench.rundir import read_json, write_json
from vesselbench.watch import Silent


def bundled(runs, catalogue, to):
    return write_bundle([run.path for run in runs], to, Wish(), catalogue, Silent())


def test_with_another_ledger_the_right_one_is_named_in_one_line(runs, catalogue, ledgers, monkeypatch, tmp_path):
    monkeypatch.setenv("VESSELBENCH_LEDGER", str(tmp_path / "other"))
    with pytest.raises(UserError, match="was entered into the ledger in") as caught:
        bundled(runs, catalogue, tmp_path / "b.zip")
    assert f"in {ledgers.resolve()}, not into that in {tmp_path / 'other'}" in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint.startswith(f"VESSELBENCH_LEDGER={ledgers.resolve()} ")
    assert not (tmp_path / "b.zip").exists()


def test_a_moved_ledger_is_as_good_as_before(runs, ledgers, catalogue, monkeypatch, tmp_path):
    shutil.copytree(ledgers, tmp_path / "moved")
    monkeypatch.setenv("VESSELBENCH_LEDGER", str(tmp_path / "moved"))
    assert bundled(runs, catalogue, tmp_path / "b.zip").is_file()


def test_a_broken_ledger_is_no_evidence(runs, ledgers, catalogue, monkeypatch, tmp_path):
    shutil.copytree(ledgers, tmp_path / "broken")
    monkeypatch.setenv("VESSELBENCH_LEDGER", str(tmp_path / "broken"))
    path = ledger_file(read_json(runs[0].ledger_file("test"))["test_set"])
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first.replace("dice", "iou"), *rest, ""]))
    with pytest.raises(UserError, match="cannot be shown as evidence: line 2 does not follow") as caught:
        bundled(runs[1:], catalogue, tmp_path / "b.zip")
    assert str(path) in caught.value.message


def test_runs_of_two_ledgers_are_refused_with_both(scored, catalogue, ledgers, monkeypatch, tmp_path):
    here = scored("here", 1)
    monkeypatch.setenv("VESSELBENCH_LEDGER", str(tmp_path / "other"))
    there = scored("there", 2)
    with pytest.raises(UserError, match="ledgers of different folders") as caught:
        bundled([here, there], catalogue, tmp_path / "b.zip")
    assert f"in {ledgers.resolve()}, " in caught.value.message
    assert f"in {tmp_path / 'other'}" in caught.value.message


def test_a_run_that_noted_no_folder_is_told_which_file_lacks_it(scored, catalogue, monkeypatch, tmp_path):
    run = scored("old", 1)
    noted = read_json(run.ledger_file("test"))
    write_json(run.ledger_file("test"), {key: value for key, value in noted.items() if key != "ledger"})
    monkeypatch.setenv("VESSELBENCH_LEDGER", str(tmp_path / "other"))
    with pytest.raises(UserError, match=r"cannot be shown as evidence: entry \d+, the scoring of old/") as caught:
        bundled([run], catalogue, tmp_path / "b.zip")
    assert str(tmp_path / "other") in caught.value.message
