"""What `pytest benchmarks/` covers, and that every entry measures in the one way."""

from __future__ import annotations

import ast
from pathlib import Path

from benchmarks import bench_predict as predicting
from benchmarks import bench_train_step as training
from vesselbench.plugins import is_trained

FILES = sorted((Path(__file__).parents[3] / "benchmarks").glob("bench_*.py"))


def entries() -> dict[str, list[str]]:
    """Entry -> names of its arguments."""
    return {
        node.name: [argument.arg for argument in node.args.args]
        for path in FILES
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("bench_")
    }


def values(function, name: str) -> set[object]:
    """The values of one parameter of an entry."""
    (mark,) = [mark for mark in function.pytestmark if mark.name == "parametrize" and mark.args[0] == name]
    return set(mark.args[1])


def test_decoding_loading_training_predicting_scoring_and_reporting_are_covered():
    wanted = {"bench_decode", "bench_loader", "bench_train_step", "bench_predict", "bench_metrics", "bench_report"}
    assert wanted <= entries().keys()


def test_every_entry_measures_through_the_one_fixture():
    assert [name for name, arguments in entries().items() if "timed" not in arguments] == []


def test_every_trained_model_is_timed_at_every_stage_and_in_prediction(catalogue):
    trained = {name for name, plugin in catalogue.models.items() if is_trained(plugin)}
    assert len(trained) >= 8
    assert values(training.bench_train_step, "model") == trained
    assert values(training.bench_train_step, "stage") == {0, 1, 2, 3}
    assert values(predicting.bench_predict, "model") == trained
