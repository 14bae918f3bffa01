"""evaluate() on two real processes (gloo) with 5 samples gives what one process gives, row by row."""

import json
import signal

import pytest

from tests.distributed import evaluate_worker
from tests.distributed.ranks import run_ranks
from vesselbench.rundir import RunDir, read_jsonl

pytestmark = pytest.mark.timeout(120)


def on_ranks(folder, *words, world=2):
    """The return codes and error texts of the ranks of the worker."""
    return run_ranks(evaluate_worker.__name__, folder, *words, world=world, limit=evaluate_worker.LIMIT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two ranks have evaluated, with batches of 1 (run1) and of 2 (run2)."""
    folder = tmp_path_factory.mktemp("two-ranks")
    codes, errors = on_ranks(folder)
    assert codes == [0, 0], errors
    return folder


@pytest.fixture(scope="module")
def both_ranks(folder):
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.fixture(scope="module")
def alone(folder):
    samples = evaluate_worker.write_samples(folder / "alone")
    return [evaluate_worker.evaluate_here(samples, RunDir(folder / f"alone{size}"), size) for size in (1, 2)]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_rows_and_threshold_of_two_ranks_equal_those_of_one(both_ranks, alone, batch_size):
    expected = alone[batch_size - 1]
    assert len(expected["rows"]) == 5
    for rank in both_ranks:
        assert rank[batch_size - 1]["rows"] == expected["rows"]
        assert rank[batch_size - 1]["threshold"] == expected["threshold"]


def test_the_common_threshold_is_not_what_each_rank_would_choose_for_itself(folder, alone):
    samples = evaluate_worker.write_samples(folder / "parts")
    own = [evaluate_worker.evaluate_here(samples[rank::2], RunDir(folder / f"part{rank}"), 1) for rank in range(2)]
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


def noted(run: RunDir) -> set[str]:
    """The ids of the images that a stopped evaluation has noted as done, by any of its ranks."""
    files = [*run.unfinished_files("val"), *run.spool_folder("val").glob("index*.jsonl")]
    lines = [line for path in files for line in read_jsonl(path)[1:]]
    return {line["row"]["id"] if "row" in line else line["id"] for line in lines}


def whole(folder, case):
    """The scores of an evaluation on one process that was not stopped."""
    samples = evaluate_worker.write_samples(folder / "whole", evaluate_worker.MANY)
    return evaluate_worker.evaluate_here(samples, RunDir(folder / f"whole-{case}"), 1, evaluate_worker.THRESHOLDS[case])


def assert_complete(run: RunDir, found, expected) -> None:
    assert (found["rows"], found["threshold"]) == (expected["rows"], expected["threshold"])
    assert run.scores("val").rows
    assert {path.name for path in run.evaluation("val").iterdir()} == {
        *("scores.jsonl", "summary.json", "observer2.jsonl", "predictions")
    }
    assert found["summary"]["observer2"] == expected["summary"]["observer2"]


@pytest.mark.parametrize("case", ["known", "chosen"])
@pytest.mark.parametrize(("first", "second"), [(2, 2), (2, 1), (1, 2)])
def test_a_killed_evaluation_is_taken_up_by_any_number_of_ranks(tmp_path, case, first, second):
    run = RunDir(tmp_path / case)
    codes, errors = on_ranks(tmp_path, case, "4", world=first)
    assert codes[-1] == -signal.SIGKILL, errors
    assert all(codes), "no rank can go on alone"
    assert not (run.evaluation("val") / "summary.json").exists()
    done, everything = noted(run), {f"eye{number}" for number in range(evaluate_worker.MANY)}
    assert {"eye0", "eye1"} <= done < everything, "of every rank, and not all"
    codes, errors = on_ranks(tmp_path, case, "-1", world=second)
    assert not any(codes), errors
    ranks = [json.loads((tmp_path / f"{case}{rank}.json").read_text()) for rank in range(second)]
    assert {name for found in ranks for name in found["asked"]} == everything - done
    assert {len(found["calls"]) for found in ranks} == {-(-len(everything - done) // second)}
    expected = whole(tmp_path, case)
    for found in ranks:
        assert (found["rows"], found["threshold"]) == (expected["rows"], expected["threshold"])
    assert run.scores("val") == RunDir(tmp_path / f"whole-{case}").scores("val")
    assert ranks[0]["summary"]["observer2"] == expected["summary"]["observer2"]
    left = {path.name for path in run.evaluation("val").iterdir()}
    assert left == {"scores.jsonl", "summary.json", "observer2.jsonl", "predictions"}
