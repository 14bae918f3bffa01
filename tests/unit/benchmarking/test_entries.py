"""What `pytest benchmarks/` covers, and that every entry measures in the one way."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import bench_predict as predicting
from benchmarks import bench_train_step as training
from vesselbench.plugins import is_trained

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "benchmarks").glob("bench_*.py"))


def entries() -> dict[str, ast.FunctionDef]:
    """Entry -> its code."""
    return {
        node.name: node
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


def is_measured(entry: ast.FunctionDef) -> bool:
    """Whether it asks for the fixture `timed`, and calls it or hands it to what does (`measure`)."""
    calls = [node for node in ast.walk(entry) if isinstance(node, ast.Call)]
    names = [ast.unparse(one) for call in calls for one in (call.func, *call.args)]
    return "timed" in [argument.arg for argument in entry.args.args] and "timed" in names


def test_every_entry_measures_through_the_one_fixture():
    assert [name for name, entry in entries().items() if not is_measured(entry)] == []


@pytest.fixture(scope="module")
def measured(tmp_path_factory, outside):
    """Entry -> figures, as pytest-benchmark stores them, of a decoding, a training step and two predictions."""
    result = tmp_path_factory.mktemp("measured") / "benchmark.json"
    wanted = [
        "benchmarks/bench_decode.py",
        "benchmarks/bench_train_step.py::bench_train_step[unet-0]",
        "benchmarks/bench_predict.py::bench_predict[frangi]",
    ]
    command = [sys.executable, "-m", "pytest", *wanted, f"--benchmark-json={result}", "--timeout=800"]
    done = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return {one["name"]: one["extra_info"] for one in json.loads(result.read_text())["benchmarks"]}


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("entry", "warmup", "rounds", "samples", "counts"),
    [
        ("bench_decode", 2, 15, None, False),
        ("bench_train_step[unet-0]", 2, 9, 2, True),
        ("bench_predict[frangi]", 2, 9, predicting.IMAGES, False),
    ],
)
def test_an_entry_has_all_figures(measured, entry, warmup, rounds, samples, counts):
    figures, machine = measured[entry]["figures"], measured[entry]["machine"]
    seconds = sorted(figures["seconds"])
    assert (figures["warmup"], figures["rounds"], len(seconds)) == (warmup, rounds, rounds)
    assert figures["median"] == seconds[rounds // 2] > 0
    low, high = figures["quartiles"]
    assert seconds[0] <= low <= figures["median"] <= high <= seconds[-1]
    assert figures["samples_per_second"] == pytest.approx(figures["samples"] / figures["median"])
    assert samples is None or figures["samples"] == samples
    assert 0 < figures["data_wait_share"] <= 1
    assert figures["peak_memory_bytes"] > figures["grown_bytes"] >= 0
    for reference in ("matmul", "convolution"):
        assert len(figures["references"][reference]) == rounds
        assert figures["peaks"][reference] == max(figures["references"][reference]) > 0
        if counts:
            share = figures["flops"] / figures["median"] / figures["peaks"][reference]
            assert 0 < figures["utilisation"][reference] == pytest.approx(share)
    assert (figures["flops"] > 0) == counts == (figures["utilisation"] is not None)
    assert (figures["device"], figures["dtype"], figures["threads"]) == ("cpu", "float32", machine["threads"])


def test_every_trained_model_is_timed_at_every_stage_and_every_model_in_prediction(catalogue):
    trained = {name for name, plugin in catalogue.models.items() if is_trained(plugin)}
    assert len(trained) >= 8
    assert values(training.bench_train_step, "model") == trained
    assert values(training.bench_train_step, "stage") == {0, 1, 2, 3}
    assert values(predicting.bench_predict, "model") == set(catalogue.models)
