"""Seeds, gates and what is said before the test set is scored."""

from __future__ import annotations

import shutil

import pytest
import typer

from vesselbench.commands.report import end_at_gates
from vesselbench.compare import compare, with_ladder
from vesselbench.comparing.gates import failed_gates
from vesselbench.comparing.verdict import verdict
from vesselbench.contest import Settings, hold_contest, parse_seeds
from vesselbench.errors import UserError
from vesselbench.foresight import foresee
from vesselbench.ladder import Ladder, Rung
from vesselbench.ledger import read_ledger
from vesselbench.rundir import RunDir
from vesselbench.runs import Wanted
from vesselbench.training.loop import train
from vesselbench.watch import Silent

IDS = [f"i{n:02d}" for n in range(12)]
GROUPS = {sample: f"p{n // 2}" for n, sample in enumerate(IDS)}


def values(mean, spread=0.001):
    return {sample: mean + spread * (n % 5 - 2) for n, sample in enumerate(IDS)}


class Lines(Silent):
    def __init__(self):
        self.lines = []

    def line(self, text):
        self.lines.append(text)


def test_seeds_are_a_list_of_different_whole_numbers():
    assert parse_seeds("0,1, 2") == (0, 1, 2)
    assert parse_seeds(None) == ()
    for text in ("", "1,1", "1,x", "-1", "1.5", "1,", "1,01"):
        with pytest.raises(UserError, match="different whole numbers"):
            parse_seeds(text)


def test_seeds_with_a_run_folder_or_another_seed_are_refused(write_run, catalogue, tmp_path):
    settings = Settings(tmp_path / "runs", seeds=(0, 1))
    folder = str(write_run("a", values(0.8)).path)
    with pytest.raises(UserError, match="--seeds cannot change its seed"):
        hold_contest([folder, "unet"], Wanted(), settings, catalogue, Silent())
    with pytest.raises(UserError, match="both set the seed"):
        hold_contest(["sa2va", "unet"], Wanted((), ["train.seed=3"]), settings, catalogue, Silent())


JUDGED = {
    "worse": (0.7, 0.8, ["--fail-if-worse", "--fail-unless-better"]),
    "better": (0.8, 0.7, []),
    "equivalent": (0.8, 0.801, ["--fail-unless-better"]),
}


@pytest.mark.parametrize("margin", [-0.1, float("inf"), float("nan")])
def test_a_margin_that_is_no_finite_number_from_zero_on_is_refused_before_anything_is_read(margin, catalogue, tmp_path):
    with pytest.raises(UserError, match=f"the margin of equivalence is {margin}"):
        hold_contest(["no", "such"], Wanted(), Settings(tmp_path / "runs", margin=margin), catalogue, Silent())


@pytest.mark.parametrize("judgement", JUDGED)
def test_gates_hold_the_first_model_against_the_others(write_run, judgement):
    first, second, expected = JUDGED[judgement]
    comparison = compare([write_run("a", values(first), GROUPS), write_run("b", values(second, 0.0012), GROUPS)])
    assert comparison.pairs[0].metrics["dice"].judgement == judgement
    failed = failed_gates(comparison, if_worse=True, unless_better=True)
    assert [text.split()[1].rstrip(":") for text in failed] == expected
    assert failed_gates(comparison) == []


def test_a_failed_gate_ends_with_three_after_saying_why(capsys):
    end_at_gates([])
    with pytest.raises(typer.Exit) as caught:
        end_at_gates(["gate --fail-if-worse: a is worse than b on dice"])
    assert caught.value.exit_code == 3
    assert capsys.readouterr().err == "gate --fail-if-worse: a is worse than b on dice\n"


def test_gates_look_at_the_pairs_of_the_first_model_only(write_run):
    alone = {sample: sample for sample in IDS}
    runs = [write_run(name, values(mean), alone) for name, mean in (("a", 0.9), ("b", 0.6), ("c", 0.8))]
    assert failed_gates(compare(runs), if_worse=True, unless_better=True) == []


def test_a_gain_below_the_noise_of_the_annotation_is_said_in_the_verdict(write_run):
    def rung(name, mean):
        entry = {"mean": mean, "median": mean, "count": 12, "none": 0, "better": "higher"}
        return Rung(name, "", {"dice": entry}, {})

    comparison = compare([write_run("a", values(0.83), GROUPS), write_run("b", values(0.8), GROUPS)])
    large, small = (Ladder((rung("reference", 1.0), rung("shifted", 1 - floor))) for floor in (0.047, 0.02))
    told = "; that is less than the 0.047 that a reference shifted by one pixel loses."
    assert verdict(with_ladder(comparison, large)).endswith(told)
    assert "shifted" not in verdict(with_ladder(comparison, small))


def test_several_seeds_are_trained_used_again_and_foretold_before_the_test_set_is_scored(
    catalogue, device, tmp_path, monkeypatch
):
    monkeypatch.setenv("VESSELBENCH_LEDGER", str(tmp_path / "ledger"))
    monkeypatch.setattr(
        "vesselbench.contest.train_apart",
        lambda recipe, runs, nproc: train(recipe, catalogue, runs, Silent()),
    )
    small = ["model.channels=[4,8]", "train.steps=1", "train.batch_size=2", "train.zero_stage=0", "train.device=cpu"]
    small += ["data.options.images=12", "data.options.size=64", "data.options.per_group=2", "data.split.val=0.4"]
    wanted = Wanted((), [*small, "evaluation.metrics=[dice,iou]"])
    first, second = tmp_path / "one.yaml", tmp_path / "two.yaml"
    first.write_text("name: one\nmodel: {name: unet}\n")
    second.write_text("name: two\nmodel: {name: unet}\ntrain: {lr: 0.002}\n")
    said = Lines()
    names, settings = [str(first), str(second)], Settings(tmp_path / "runs", seeds=(0, 1))
    comparison, _ = hold_contest(names, wanted, settings, catalogue, said)
    assert [(run.label, [seed.seed for seed in run.seeds]) for run in comparison.runs] == [
        ("one", [0, 1]),
        ("two", [0, 1]),
    ]
    foretold = next(
        n for n, line in enumerate(said.lines) if line.startswith("one, two: what about 2 groups can tell apart is not")
    )
    few = "the test set has 1 group: no model can be called better or worse on so few, since the signed-rank test "
    assert sum(line.startswith(few) for line in said.lines) == 1
    assert next(line for line in said.lines if line.startswith(few) or "training it now" in line).startswith(few)
    assert [line for line in said.lines if "training it now" in line] == [
        f"{name}, seed {seed}: no finished run on this split; training it now" for name in names for seed in (0, 1)
    ]
    scored = next(n for n, line in enumerate(said.lines) if line.startswith("scoring 1 of this test set"))
    assert foretold < scored
    assert len(read_ledger(comparison.scorings.test_set).entries) == 4
    again, _ = hold_contest(names, wanted, settings, catalogue, Silent())
    assert [seed.where for run in again.runs for seed in run.seeds] == [
        s.where for run in comparison.runs for s in run.seeds
    ]
    assert len(read_ledger(comparison.scorings.test_set).entries) == 4
    recipe = RunDir(comparison.runs[0].seeds[1].run.path)
    changed = recipe.config.read_text().replace("lr: 0.001", "lr: 0.5")
    assert changed != recipe.config.read_text()
    recipe.config.write_text(changed)
    with pytest.raises(UserError, match=r"two seeds of .*one.yaml', differ in train.lr"):
        hold_contest(names, wanted, settings, catalogue, Silent())


def test_runs_that_cannot_be_compared_are_refused_before_any_test_set_is_scored(write_run, catalogue, tmp_path):
    a, b = write_run("a", values(0.8)), write_run("b", values(0.7), train=("t1",))
    shutil.rmtree(a.evaluation("test"))
    with pytest.raises(UserError, match="their train sets differ"):
        hold_contest([str(a.path), str(b.path)], Wanted(), Settings(tmp_path / "runs"), catalogue, Silent())
    with pytest.raises(UserError, match="given twice"):
        hold_contest([str(a.path)] * 2, Wanted(), Settings(tmp_path / "runs"), catalogue, Silent())
    assert not a.evaluation("test").exists()


def test_without_validation_scores_nothing_is_foretold(write_run):
    (line,) = foresee([write_run("a", values(0.8)), write_run("b", values(0.7))])
    assert line.startswith("what the test set can tell apart is not foretold: ")
    assert "has no scores of its val set" in line
