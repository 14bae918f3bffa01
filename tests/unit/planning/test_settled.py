"""What is planned is what would be trained: the keys that a recipe leaves to rules have the rules' values."""

from __future__ import annotations

import pytest

from vesselbench.errors import UserError
from vesselbench.planner import make_plan, settled
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import load_recipe
from vesselbench.training.resuming import dataset_of, recipe_for

CATALOGUE = load_catalogue()
SMALL = ["data.options.images=10", "data.options.size=64"]


def a_recipe(*overrides):
    return load_recipe("unet", CATALOGUE, (), [*SMALL, *overrides])[0]


def test_a_plan_is_of_the_values_that_the_training_would_choose():
    import torch

    recipe = a_recipe()
    found, said = settled(recipe, CATALOGUE, "cpu-2core")
    dataset = dataset_of(recipe, CATALOGUE, None)
    trained, _ = recipe_for(recipe, dataset, CATALOGUE, torch.device("cpu"), None)
    assert found == trained
    assert found.configure == []
    assert f"  steps: {found.train.steps}" in said
    assert make_plan(found, CATALOGUE, 1).steps == found.train.steps


@pytest.mark.parametrize(("device", "precision"), [("rtx3090", "autocast"), ("t4", "fp32")])
def test_the_rules_ask_the_planned_device_not_this_machine(device, precision):
    found, _ = settled(a_recipe(), CATALOGUE, device)
    assert found.train.precision == precision


def test_where_the_images_cannot_be_used_the_assumed_values_are_said(monkeypatch):
    def refuse(*_):
        raise UserError("sample 'a': cut short", "copy it again")

    monkeypatch.setattr("vesselbench.planner.load_dataset", refuse)
    recipe = a_recipe("train.batch_size=6")
    found, (why, assumed) = settled(recipe, CATALOGUE, "cpu-2core")
    assert found == recipe
    assert why == "the rules of `configure` cannot choose: sample 'a': cut short"
    assert "train.steps=1200" in assumed
    assert "train.batch_size" not in assumed, "what somebody set himself is not assumed"


def test_a_recipe_that_leaves_nothing_to_rules_is_planned_as_it_is():
    recipe = a_recipe("configure=[]")
    assert settled(recipe, CATALOGUE, "cpu-2core") == (recipe, [])
