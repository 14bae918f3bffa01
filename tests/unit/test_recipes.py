from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vesselbench import UserError
from vesselbench.config import Recipe, TrainConfig
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import (
    dump_recipe,
    explain_key,
    load_recipe,
    merge,
    parse_override,
    read_yaml,
    shipped_names,
    stand_ins,
    validate_recipe,
)

CATALOGUE = load_catalogue()
LEAVES = st.one_of(st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3), st.none())
TREES = st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


def refused(*overrides: str, extra: tuple[str, ...] = ()) -> UserError:
    with pytest.raises(UserError) as caught:
        load_recipe("unet", CATALOGUE, extra, overrides)
    return caught.value


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_recipe_is_valid_and_survives_being_written_and_read(name):
    recipe, _ = load_recipe(name, CATALOGUE)
    assert validate_recipe(yaml.safe_load(dump_recipe(recipe)), CATALOGUE) == recipe


def test_a_number_that_yaml_reads_as_text_is_a_number():
    recipe, steps = load_recipe("unet", CATALOGUE, overrides=["train.lr=1e-4"])
    assert recipe.train.lr == 1e-4
    assert steps[-1] == "command line train.lr=1e-4"


def test_later_steps_win_and_untouched_keys_stay(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("train: {steps: 5, lr: 0.5}\n")
    second.write_text("train: {steps: 6}\n")
    recipe, _ = load_recipe("unet", CATALOGUE, [str(first), str(second)], ["train.seed=9"])
    assert (recipe.train.steps, recipe.train.lr, recipe.train.seed) == (6, 0.5, 9)


@given(MAPPINGS, MAPPINGS)
def test_merging_takes_every_leaf_of_the_second_mapping(first, second):
    merged = merge(first, second)
    assert merge(merged, second) == merged
    assert merged.keys() == first.keys() | second.keys()
    assert merge(first, {}) == first


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        ("train.stepps=3", "unknown key 'train.stepps'", "did you mean 'steps'?"),
        ("model.chanels=[1]", "unknown key 'model.chanels'", "did you mean 'channels'?"),
        ("trian.steps=3", "unknown key 'trian'", "did you mean 'train'?"),
        ("train.steps=many", "train.steps: ", "optimizer steps."),
        ("train.zero_stage=4", "train.zero_stage", "DeepSpeed ZeRO stage"),
        ("data.format=cocoa", "no data set format named 'cocoa'", "did you mean 'coco'?"),
        ("evaluation.metrics=[dise]", "evaluation: primary metric 'dice' is not in metrics", ""),
        ("trackers=[tensorbord]", "no tracker named 'tensorbord'", "did you mean 'tensorboard'?"),
        ("train.steps", "'train.steps' is not an override", "write key=value"),
        ("data.split.test=1.5", "data.split", ""),
        ("train.seed=-1", "train.seed", "Weights, order"),
        ("train.betas=[2,3]", "train.betas", ""),
        ("train.lr=.inf", "train.lr", "Peak learning rate"),
        ("train.augment.crop=0", "train.augment.crop", ""),
        ("evaluation.metrics=[dice,dice]", "metrics names one twice", ""),
        ("name=../elsewhere", "name", "Name of the run"),
        ("name=comparison", "'comparison' is a folder of the comparisons", ""),
        ("name=benchmarks", "'benchmarks' is a folder of the comparisons and benchmarks", ""),
        ("model.channels=[0,8]", "model.channels.0", ""),
        ("model.window=100", "model: window 100 must be a multiple of 8", ""),
    ],
)
def test_a_mistake_is_answered_with_the_key_and_what_mends_it(override, message, hint):
    error = refused(override)
    assert message in error.message
    assert hint in error.hint


def test_an_unknown_recipe_is_answered_with_the_nearest_one():
    with pytest.raises(UserError) as caught:
        load_recipe("unett", CATALOGUE)
    assert caught.value.message == "no recipe or model named 'unett'"
    assert caught.value.hint == "did you mean 'unet'?"


def test_a_missing_extra_file_is_named():
    assert "no configuration file 'data/nowhere'" in refused(extra=("data/nowhere",)).message


def test_broken_yaml_is_answered_with_file_and_line(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("model:\n  name: [unet\n")
    with pytest.raises(UserError, match=r"bad\.yaml is not YAML: .*line 3"):
        read_yaml(path)


@given(st.text(max_size=20))
def test_any_text_is_an_override_or_a_user_error(text):
    try:
        parsed = parse_override(text)
    except UserError:
        return
    assert len(parsed) == 1


def test_a_relative_data_root_is_stored_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe, _ = load_recipe("unet", CATALOGUE, overrides=["data.format=pairs", "data.root=images"])
    assert recipe.data.root == tmp_path / "images"


def test_groups_may_be_named_by_bare_numbers():
    recipe, _ = load_recipe("unet", CATALOGUE, overrides=["data.split.test=[11, 12]"])
    assert recipe.data.split.test == ["11", "12"]


def test_stand_ins_are_named_until_both_are_replaced(tmp_path):
    recipe, _ = load_recipe("sa2va", CATALOGUE)
    (line,) = stand_ins(recipe)
    assert "data.root" in line
    assert "model.weights" in line
    assert stand_ins(load_recipe("unet", CATALOGUE, overrides=["data.format=coco"])[0]) == []


def test_every_key_of_the_core_says_what_it_does():
    for part in [Recipe, *(field.annotation for field in Recipe.model_fields.values())]:
        for name, field in getattr(part, "model_fields", {}).items():
            assert field.description, f"{part.__name__}.{name}"


def test_explaining_a_key_gives_its_value_and_its_meaning():
    recipe, _ = load_recipe("unet", CATALOGUE, overrides=["train.lr=0.25"])
    assert (
        explain_key(recipe, "train.lr", CATALOGUE) == f"train.lr = 0.25\n{TrainConfig.model_fields['lr'].description}"
    )
    assert explain_key(recipe, "model.channels", CATALOGUE).startswith("model.channels = [")
    with pytest.raises(UserError, match="unknown key"):
        explain_key(recipe, "train.lrr", CATALOGUE)
