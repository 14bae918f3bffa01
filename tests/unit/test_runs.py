from __future__ import annotations

import pytest

from vesselbench import UserError
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import dump_recipe, load_recipe
from vesselbench.reopen import differences, same_split
from vesselbench.rundir import RunDir, write_text
from vesselbench.runs import Wanted, asked_for, obtain_run, score_run
from vesselbench.types import Split

CATALOGUE = load_catalogue("monai")
SMALL = ["data.options.images=12", "data.options.size=32", "data.options.max_width=6", "data.options.per_group=2"]


class Lines:
    """A watch that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def progress(self, task, done, total, values=None) -> None:
        """Nothing is asked of it here."""


def recipe(*overrides: str):
    return load_recipe("unet", CATALOGUE, overrides=[*SMALL, *overrides])[0]


def finished(runs, trained) -> RunDir:
    """A finished run of a recipe, as a training leaves it, without weights."""
    from vesselbench.data.dataset import load_dataset

    run = RunDir.new(runs, trained.name)
    write_text(run.config, dump_recipe(trained))
    run.write_split(load_dataset(trained.data, CATALOGUE).split)
    run.update(status="finished")
    return run


def test_differences_are_dotted_keys_with_both_values():
    assert differences(recipe(), recipe("train.steps=7", "model.channels=[4,8]")) == {
        "model.channels": ([16, 32, 64, 128], [4, 8]),
        "train.steps": (recipe().train.steps, 7),
    }


def test_only_what_the_command_line_set_counts_as_asked_for(tmp_path):
    extra = tmp_path / "extra.yaml"
    extra.write_text("train: {seed: 3}\n")
    unlike = {"train.seed": (3, 4), "train.steps": (1, 2), "data.options.size": (32, 64)}
    assert asked_for(unlike, Wanted()) == []
    assert asked_for(unlike, Wanted([str(extra)], ["data.options={size: 32}"])) == ["train.seed", "data.options.size"]
    assert asked_for({"data.split.val": (0.2, 0.3)}, Wanted(["data/chase"])) == ["data.split.val"]


def test_a_finished_run_on_the_same_split_is_used_again_and_that_is_said(tmp_path):
    run, watch = finished(tmp_path, recipe()), Lines()
    assert obtain_run("unet", Wanted(overrides=SMALL), tmp_path, CATALOGUE, None, watch) == run
    assert watch.lines == [f"using the finished run {run.path} (same split)"]


def test_a_run_that_the_recipe_has_since_left_behind_is_used_with_its_differences(tmp_path):
    finished(tmp_path, recipe("train.lr=0.5"))
    watch = Lines()
    obtain_run("unet", Wanted(overrides=SMALL), tmp_path, CATALOGUE, None, watch)
    assert watch.lines[1] == f"  its train.lr was 0.5; the recipe now says {recipe().train.lr}"


@pytest.mark.parametrize("override", ["train.steps=7", "data.split.seed=5", "data.options.seed=5"])
def test_a_run_that_contradicts_the_command_line_or_its_split_is_not_used(tmp_path, override):
    finished(tmp_path, recipe())
    trained: list = []
    new = RunDir(tmp_path / "new")

    def train(wanted):
        trained.append(wanted)
        return new

    wanted = Wanted(overrides=[*SMALL, override])
    assert obtain_run("unet", wanted, tmp_path, CATALOGUE, train, Lines()) == new
    assert len(trained) == 1


def test_a_run_that_can_no_longer_be_read_is_passed_over_and_that_is_said(tmp_path):
    good, gone = finished(tmp_path, recipe()), RunDir(tmp_path / "unet" / "99999999-000000-aaaa")
    write_text(gone.config, dump_recipe(recipe()).replace("name: unet", "name: a_model_that_is_gone"))
    gone.write_split(good.split())
    gone.update(status="finished")
    watch = Lines()
    assert obtain_run("unet", Wanted(overrides=SMALL), tmp_path, CATALOGUE, None, watch) == good
    assert watch.lines[0] == f"{gone.path} is passed over: no model named 'a_model_that_is_gone'"


def test_an_unfinished_run_is_neither_used_nor_scored(tmp_path):
    run = finished(tmp_path, recipe())
    run.update(status="failed", reason="no power")
    with pytest.raises(UserError, match="no finished run of 'unet'"):
        obtain_run("unet", Wanted(overrides=SMALL), tmp_path, CATALOGUE, None, Lines())
    with pytest.raises(UserError, match="is failed, not finished: no power"):
        score_run(run, "test", CATALOGUE, Lines())


def test_splits_are_the_same_when_data_and_sets_are():
    one = Split("a", 0, {"train": ("1", "2"), "val": ("3",), "test": ("4",)}, "f")
    assert same_split(one, Split("b", 1, {"train": ("2", "1"), "val": ("3",), "test": ("4",)}, "f"))
    assert not same_split(one, Split("a", 0, {"train": ("1", "2"), "val": ("4",), "test": ("3",)}, "f"))
    assert not same_split(one, Split("a", 0, one.sets, "g"))
