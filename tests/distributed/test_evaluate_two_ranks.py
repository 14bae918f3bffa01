"""evaluate() on two real processes (gloo) with 5 samples gives what one process gives, row by row."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from vesselbench.rundir import RunDir, read_jsonl

pytestmark = pytest.mark.timeout(120)
WORKER = Path(__file__).with_name("evaluate_worker.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two ranks have evaluated, with batches of 1 (run1) and of 2 (run2)."""
    folder = tmp_path_factory.mktemp("two-ranks")
    ranks = [
        subprocess.Popen([sys.executable, str(WORKER), str(folder), str(rank), "2"], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=90)[1] for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    assert [process.returncode for process in ranks] == [0, 0], "\n".join(errors)
    return folder


@pytest.fixture(scope="module")
def both_ranks(folder):
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def alone(folder):
    worker = runpy.run_path(str(WORKER))
    samples = worker["write_samples"](folder / "alone")
    return [worker["evaluate_here"](samples, RunDir(folder / f"alone{size}"), size) for size in (1, 2)]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_rows_and_threshold_of_two_ranks_equal_those_of_one(both_ranks, alone, batch_size):
    expected = alone[batch_size - 1]
    assert len(expected["rows"]) == 5
    for rank in both_ranks:
        assert rank[batch_size - 1]["rows"] == expected["rows"]
        assert rank[batch_size - 1]["threshold"] == expected["threshold"]


def test_the_common_threshold_is_not_what_each_rank_would_choose_for_itself(folder, alone):
    worker = runpy.run_path(str(WORKER))
    samples = worker["write_samples"](folder / "parts")
    own = [worker["evaluate_here"](samples[rank::2], RunDir(folder / f"part{rank}"), 1) for rank in range(2)]
    assert len({own[0]["threshold"], own[1]["threshold"], alone[0]["threshold"]}) == 3


def test_both_ranks_make_equal_calls_although_five_samples_do_not_divide(both_ranks, alone):
    assert [results[0]["calls"] for results in both_ranks] == [[1, 1, 1]] * 2
    assert [results[1]["calls"] for results in both_ranks] == [[2, 1]] * 2
    assert alone[1]["calls"] == [2, 2, 1]


def test_both_ranks_return_the_same_summary_and_it_equals_that_of_one_but_for_the_clock(both_ranks, alone):
    first, second = (results[0]["summary"] for results in both_ranks)
    assert first == second
    clock = ("seconds", "images_per_second")
    expected = {key: value for key, value in alone[0]["summary"].items() if key not in clock}
    assert {key: value for key, value in first.items() if key not in clock} == expected


def test_the_run_holds_every_row_and_every_mask_once(folder, both_ranks):
    run, one = RunDir(folder / "run1"), RunDir(folder / "alone1")
    assert run.scores("val") == one.scores("val")
    assert [row["id"] for row in read_jsonl(run.observer_file("val"))] == [f"eye{number}" for number in range(5)]
    for number in range(5):
        name = f"eye{number}"
        assert run.prediction_file("val", name).read_bytes() == one.prediction_file("val", name).read_bytes()
    assert len(list(run.prediction_file("val", "eye0").parent.iterdir())) == 5


def test_each_rank_writes_its_own_masks_and_only_the_first_writes_scores(folder):
    stored = [{path.name for path in (folder / f"own{rank}").rglob("*") if path.is_file()} for rank in range(2)]
    assert stored[0] == {"scores.jsonl", "summary.json", "observer2.jsonl", "eye0.png", "eye2.png", "eye4.png"}
    assert stored[1] == {"eye1.png", "eye3.png"}
