"""What a recipe fixes before the test set is scored, and what a run writes down of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.config import EvalConfig, Recipe
from vesselbench.declared import counted, declare, declared_record, plural, read_declared
from vesselbench.errors import UserError
from vesselbench.recipes import validate_recipe
from vesselbench.rundir import read_jsonl
from vesselbench.training.loop import train
from vesselbench.types import Sample
from vesselbench.watch import Silent


def samples(*groups):
    return [Sample(id=f"i{n}", image=f"i{n}.png", mask=(), group=group) for n, group in enumerate(groups)]


def recipe(**data):
    return Recipe(name="a", model={"name": "unet"}, data=data)


def test_the_unit_is_the_recipes_word_else_group_else_image():
    assert declare(recipe(unit="child/children"), samples("a", "a")).unit == "child/children"
    assert declare(recipe(), samples("a", "a")).unit == "group"
    assert declare(recipe(), samples("i0", "i1")).unit == "image"
    assert declare(recipe(), samples("", "")).unit == "image"


def test_units_are_counted_in_words():
    assert [counted(number, "child/children") for number in (1, 8)] == ["1 child", "8 children"]
    assert [counted(number, "patient") for number in (0, 1, 2)] == ["0 patients", "1 patient", "2 patients"]
    assert plural("eye") == "eyes"


@given(
    st.floats(0, 10),
    st.lists(st.sampled_from(["iou", "cldice"]), unique=True),
    st.sampled_from(["patient", "child/children"]),
)
def test_what_is_declared_reads_back_from_the_record(margin, family, unit):
    evaluation = EvalConfig(metrics=["dice", "iou", "cldice"], margin=margin, family=family)
    plan = Recipe(name="a", model={"name": "unet"}, evaluation=evaluation, data={"unit": unit})
    declared = declare(plan, samples("a"))
    assert read_declared({"declared": declared_record(declared)}, "run.json") == declared


def test_a_run_without_a_plan_has_none_and_a_damaged_plan_is_refused():
    assert read_declared({}, "run.json") is None
    with pytest.raises(UserError, match=r"run\.json: 'declared' is damaged: KeyError\('margin'\)"):
        read_declared({"declared": {"primary": "dice", "family": []}}, "run.json")


@pytest.mark.parametrize(
    ("family", "message"),
    [(["dice"], "holds the primary"), (["nsd"], "must name metrics"), (["iou", "iou"], "each once")],
)
def test_a_family_that_is_none_is_refused(family, message):
    with pytest.raises(ValueError, match=message):
        EvalConfig(metrics=["dice", "iou"], family=family)


def test_training_records_the_plan_and_every_validation(tmp_path, catalogue, device):
    values = {
        "name": "unet",
        "model": {"name": "unet", "channels": [4, 8]},
        "data": {"options": {"images": 12, "size": 64, "per_group": 2}, "unit": "patient"},
        "train": {"steps": 4, "batch_size": 2, "validate_every": 2, "device": "cpu", "zero_stage": 0},
        "evaluation": {"margin": 0.02},
    }
    run = train(validate_recipe(values, catalogue), catalogue, tmp_path / "runs", Silent())
    family = ["cldice", "nsd", "betti0_error"]
    assert run.record()["declared"] == {"primary": "dice", "margin": 0.02, "family": family, "unit": "patient"}
    lines = read_jsonl(run.validation_log)
    assert [line["step"] for line in lines] == [0, 2, 4]
    assert set(lines[0]["means"]) == {"dice", "precision", "sensitivity"}
    assert lines[0]["train_seconds"] == 0 < lines[1]["train_seconds"] < lines[2]["train_seconds"]
    assert lines[2]["train_seconds"] == pytest.approx(run.record()["train_seconds"])
