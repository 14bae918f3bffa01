from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench import UserError
from vesselbench.rundir import (
    RunDir,
    check_set_name,
    file_name,
    read_json,
    read_jsonl,
    read_split,
    runs_of,
    write_json,
)
from vesselbench.types import ScoreRow, Scores, Split

SPLIT = Split("phantom", 0, {"train": ("a",), "val": ("b",), "test": ("c",)}, "f" * 64)


def a_run(tmp_path, name="unet", **record) -> RunDir:
    run = RunDir.new(tmp_path, name)
    run.write_split(SPLIT)
    run.update(**record)
    return run


def test_a_split_and_scores_come_back_as_they_were_written(tmp_path):
    run = a_run(tmp_path)
    rows = (ScoreRow("c", "g", "vessel", {"dice": 0.5, "odd": None}, "ok", {"odd": "no reference"}, "ab"),)
    scores = Scores(rows, "test", 0.4, "f" * 64, {"dice": 1, "odd": 1}, "cd")
    summary = {"set_name": "test", "threshold": 0.4, "fingerprint": "f" * 64, "metric_versions": {"dice": 1, "odd": 1}}
    run.write_scores(scores, {**summary, "weights_sha256": "cd"})
    assert run.split() == SPLIT
    assert run.scores("test") == scores


def test_nothing_that_is_not_a_number_is_ever_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"dice": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file_and_no_half_written_one(tmp_path):
    """The kernel's file size limit stands in for a full disk: both end a write with an error half-way."""
    target = tmp_path / "scores.json"
    target.write_text("old")
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from vesselbench import UserError; from vesselbench.rundir import write_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_text(Path(sys.argv[1]), 'x' * 100_000)\n"
        "except UserError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(target)], capture_output=True, text=True, timeout=60)
    assert f"cannot write {target}" in done.stdout, done.stderr
    assert "free space" in done.stdout
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


def test_a_folder_without_a_record_is_no_run(tmp_path):
    with pytest.raises(UserError, match=r"no run\.json"):
        RunDir.open(tmp_path)


def test_a_run_without_weights_says_its_status(tmp_path):
    run = a_run(tmp_path, status="failed")
    with pytest.raises(UserError, match=r"holds no weights \(status: failed\)"):
        run.weights()


def test_a_set_that_was_not_scored_says_the_command_that_scores_it(tmp_path):
    with pytest.raises(UserError) as caught:
        a_run(tmp_path).scores("test")
    assert "--set test" in caught.value.hint


def test_runs_come_newest_first(tmp_path):
    for stamp in ["20260101-000000-aaaa", "20260102-000000-aaaa"]:
        RunDir(tmp_path / "unet" / stamp).update(status="finished")
    assert [run.path.name[:8] for run in runs_of(tmp_path, "unet")] == ["20260102", "20260101"]


def test_a_file_where_a_folder_should_be_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_json(tmp_path / "file" / "x.json", {})


@pytest.mark.parametrize(
    "text", ["{", '{"sets": 3}', '{"name": "x", "seed": 1, "sets": {"tset": []}, "fingerprint": ""}']
)
def test_a_broken_split_is_a_user_error(tmp_path, text):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"split\.json"):
        read_split(path)


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "scores.jsonl"
    path.write_text('{"a": 1}\n{"a":\n')
    with pytest.raises(UserError, match="line 2"):
        read_jsonl(path)
    with pytest.raises(UserError, match="does not exist"):
        read_json(tmp_path / "nothing.json")


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_file_names_stay_in_their_folder_and_differ_when_ids_do(first, second):
    assert "/" not in file_name(first)
    assert file_name(first) not in ("", ".", "..")
    assert len(file_name(first)) < 130
    assert (file_name(first) == file_name(second)) == (first == second)


def test_a_set_name_is_checked():
    assert check_set_name("val") == "val"
    with pytest.raises(UserError, match="no set named 'tset'"):
        check_set_name("tset")


def test_the_record_is_updated_key_by_key(tmp_path):
    run = a_run(tmp_path, status="running", seed=1)
    run.update(status="finished")
    assert json.loads(run.record_file.read_text()) == {"status": "finished", "seed": 1}
