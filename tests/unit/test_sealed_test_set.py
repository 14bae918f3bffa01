"""Every scoring of a test set is entered into its ledger, once, and a comparison tells it."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from typer.testing import CliRunner

from vesselbench.cli import app
from vesselbench.compare import compare
from vesselbench.config import DataConfig
from vesselbench.data.dataset import load_dataset
from vesselbench.evaluation.metrics import IoU
from vesselbench.evaluation.predict import Predictor
from vesselbench.ledger import ledger_file, read_ledger
from vesselbench.recipes import validate_recipe
from vesselbench.report import render_comparison
from vesselbench.report.pseudonyms import shown_comparison
from vesselbench.rundir import read_json
from vesselbench.runs import score_run
from vesselbench.training.loop import train
from vesselbench.watch import Silent

DATA = {"options": {"images": 12, "size": 64, "per_group": 1, "seed": 11}}


class Lines(Silent):
    def __init__(self):
        self.lines = []

    def line(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def run(catalogue, device, tmp_path_factory):
    values = {
        "name": "unet",
        "model": {"name": "unet", "channels": [4, 8]},
        "data": DATA,
        "train": {"steps": 1, "batch_size": 2, "device": "cpu", "zero_stage": 0},
        "evaluation": {"metrics": ["dice", "iou"]},
    }
    return train(validate_recipe(values, catalogue), catalogue, tmp_path_factory.mktemp("sealed"), Silent())


@pytest.fixture
def test_set(catalogue, monkeypatch, tmp_path):
    monkeypatch.setenv("VESSELBENCH_LEDGER", str(tmp_path))
    return load_dataset(DataConfig(**DATA), catalogue).test_set


def test_a_scoring_counts_once_and_again_when_it_is_made_again(run, catalogue, test_set):
    said = Lines()
    score_run(run, "test", catalogue, said)
    assert any(line.startswith("scoring 1 of this test set; 0 different weights before") for line in said.lines)
    score_run(run, "test", catalogue, Silent())  # the scores are there
    assert len(read_ledger(test_set).entries) == 1
    (run.evaluation("test") / "summary.json").unlink()  # broken off, taken up again
    score_run(run, "test", catalogue, Silent())
    assert len(read_ledger(test_set).entries) == 1
    score_run(run, "test", catalogue, Silent(), again=True)
    score_run(run, "val", catalogue, Silent(), again=True)
    ledger = read_ledger(test_set)
    assert [entry.scoring.weights_sha256 for entry in ledger.entries] == [run.record()["weights_sha256"]] * 2
    assert ledger.entries[1].sha256 == read_json(run.ledger_file("test"))["sha256"]
    comparison = compare([run])
    assert comparison.scorings.told() == "This test set has been scored 2 times, with one model's weights."
    assert not any("Ledger" in note for note in comparison.notes)


def test_what_is_reused_is_no_scoring_and_what_is_scored_anew_is_one(run, catalogue, test_set, monkeypatch):
    score_run(run, "test", catalogue, Silent(), again=True)
    before, said = run.scores("test"), Lines()
    score_run(run, "test", catalogue, said)
    (line,) = said.lines
    assert line.startswith(f"{run.path}: reused: {len(before.rows)} predictions and scores of the test set")
    assert len(read_ledger(test_set).entries) == 1
    monkeypatch.setattr(IoU, "version", 99)
    monkeypatch.setattr("vesselbench.evaluation.predict.load_predictor", None)  # no model is needed
    score_run(run, "test", catalogue, said)
    assert "scored again: iou is of version 99 now, 2 then" in said.lines[1]
    assert len(read_ledger(test_set).entries) == 2
    assert [row.values for row in run.scores("test").rows] == [row.values for row in before.rows]
    score_run(run, "test", catalogue, said)
    assert len(read_ledger(test_set).entries) == 2


def test_a_repeated_scoring_that_was_broken_off_counts_once(run, catalogue, test_set, monkeypatch):
    score_run(run, "test", catalogue, Silent(), again=True)

    def broken(self, examples):
        raise RuntimeError("no power")

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "__call__", broken)
        with pytest.raises(RuntimeError, match="no power"):
            score_run(run, "test", catalogue, Silent(), again=True)
    assert len(read_ledger(test_set).entries) == 2
    score_run(run, "test", catalogue, Silent(), again=True)
    assert len(read_ledger(test_set).entries) == 2


def test_the_command_reuses_and_again_predicts_anew(run, test_set):
    words = ["evaluate", str(run.path)]
    first, second = (CliRunner().invoke(app, [*words, *more]) for more in (["--again"], []))
    assert first.exit_code == second.exit_code == 0
    assert "predicting again: that was asked for" in first.stderr
    assert "reused: " in second.stderr
    assert first.stdout == second.stdout
    assert len(read_ledger(test_set).entries) == 1


def test_a_changed_ledger_is_told_by_the_scoring_and_by_the_comparison(run, catalogue, test_set):
    for _ in range(2):
        score_run(run, "test", catalogue, Silent(), again=True)
    path = ledger_file(test_set)
    first, second = path.read_text().splitlines()
    path.write_text(json.dumps({**json.loads(first), "recipe": "another"}) + "\n" + second + "\n")
    comparison = compare([run])
    assert any("line 2 does not follow the line before it" in note for note in comparison.notes)
    assert "Its ledger is broken: line 2 does not follow the line before it" in comparison.scorings.told()
    said = Lines()
    score_run(run, "test", catalogue, said, again=True)
    assert any(line.startswith("the ledger of the test set is broken: line 2 does not follow") for line in said.lines)
    path.write_text(first + "\n")
    assert any("entry 3, the scoring of" in note for note in compare([run]).notes)


def test_without_names_the_runs_that_are_not_compared_are_withheld(run, catalogue, test_set):
    score_run(run, "test", catalogue, Silent(), again=True)
    path = ledger_file(test_set)
    other = json.loads(path.read_text())
    path.write_text(
        path.read_text() + json.dumps({**other, "number": 2, "recipe": "dr-smith", "run": "dr-smith/1"}) + "\n"
    )
    shown = shown_comparison(compare([run]), True).scorings
    assert [entry.scoring.recipe for entry in shown.entries] == ["unet", "withheld"]
    assert shown.entries[0].scoring.run != shown.entries[1].scoring.run == "withheld"


def test_the_test_set_stays_the_same_when_only_the_rest_of_the_split_changes(catalogue, test_set, tmp_path):
    split = load_dataset(DataConfig(**DATA), catalogue).split
    moved = {**split.sets, "train": (*split.sets["train"], *split.sets["val"][:-1]), "val": split.sets["val"][-1:]}
    file = tmp_path / "split.json"
    file.write_text(json.dumps({**asdict(split), "sets": moved}))
    again = load_dataset(DataConfig(**DATA, split={"file": file}), catalogue)
    assert len(again.split.sets["train"]) > len(split.sets["train"])
    assert again.test_set == test_set
    other = {**DATA, "options": {**DATA["options"], "seed": 12}}
    assert load_dataset(DataConfig(**other), catalogue).test_set != test_set


def test_the_command_lists_the_scorings_and_exits_with_one_when_the_chain_is_broken(run, catalogue, test_set):
    words = ["data", "ledger", "unet", *(f"data.options.{key}={value}" for key, value in DATA["options"].items())]
    for _ in range(2):
        score_run(run, "test", catalogue, Silent(), again=True)
    whole = CliRunner().invoke(app, [*words, "--json"])
    assert whole.exit_code == 0
    assert [entry["scoring"]["recipe"] for entry in json.loads(whole.stdout)["entries"]] == ["unet", "unet"]
    path = ledger_file(test_set)
    path.write_text(path.read_text().splitlines()[1] + "\n")
    broken = CliRunner().invoke(app, words)
    assert broken.exit_code == 1
    assert "broken: line 1 does not follow the line before it" in broken.stderr


@pytest.mark.parametrize("pseudonymised", [False, True])
def test_the_report_says_how_often_the_test_set_was_scored_and_by_what(
    run, catalogue, test_set, tmp_path, pseudonymised
):
    for _ in range(2):
        score_run(run, "test", catalogue, Silent(), again=True)
    page = render_comparison(compare([run]), tmp_path / "report", catalogue, pseudonymised=pseudonymised)
    last = read_ledger(test_set).entries[-1]
    for text in (page.read_text(), page.with_name("report.md").read_text().replace("\\", "")):
        assert "This test set has been scored 2 times, with one model" in text
        assert last.scoring.weights_sha256[:12] in text
        assert text.count(last.time) >= 1
