"""Self-configuration: rules give the keys that a recipe leaves to them; what the user says is the user's."""

from __future__ import annotations

import pytest
import torch
import yaml

from vesselbench.configuring import configured, plan_text
from vesselbench.data.traits import measure_traits, multiplies_in_bf16
from vesselbench.errors import UserError
from vesselbench.recipes import load_recipe, validate_recipe
from vesselbench.reopen import differences
from vesselbench.rundir import RunDir, write_text
from vesselbench.training.resuming import recipe_for
from vesselbench.traits import Choice, Traits
from vesselbench_monai.frangi import FrangiConfig
from vesselbench_monai.rules import rules
from vesselbench_monai.swinunetr import SwinUNETRConfig
from vesselbench_monai.unet import UNetConfig

CPU = torch.device("cpu")
CHASE = Traits(images=18, size=(960, 999), pixels=11_853_367, vessel=0.103, width=5.0, wide=12.0, bf16=True)
KEYS = ["model.channels", "model.neighbourhood", "model.window", "train.augment.crop", "train.batch_size"]


def test_the_rules_give_the_measured_setting_for_the_data_that_it_was_measured_on():
    values = {key: choice.value for key, choice in rules(UNetConfig(), CHASE).items()}
    assert values == {
        "model.channels": [16, 32, 64, 128],
        "model.neighbourhood": 49,
        "model.window": 192,
        "train.augment.crop": 192,
        "train.batch_size": 4,
        "train.steps": 2900,
        "train.precision": "autocast",
    }


@pytest.mark.parametrize("wide", [None, 1.0, 4.0, 20.0, 300.0])
@pytest.mark.parametrize("size", [(40, 40), (128, 200), (4000, 3000)])
@pytest.mark.parametrize("model", [UNetConfig, SwinUNETRConfig])
def test_whatever_the_data_the_model_takes_what_the_rules_say(wide, size, model):
    traits = Traits(3, size, size[0] * size[1], 0.1, wide, wide, bf16=False)
    values = {key: choice.value for key, choice in rules(model(), traits).items()}
    model(**{key.removeprefix("model."): value for key, value in values.items() if key.startswith("model.")})
    assert values["model.window"] == values["train.augment.crop"] <= max(64, min(size) + 31)
    assert 400 <= values["train.steps"] <= 6000
    assert values["train.batch_size"] in (2, 4, 8, 16)
    assert values["train.precision"] == "fp32"


def test_wider_vessels_get_larger_windows_and_more_levels():
    thin, broad = (rules(UNetConfig(), Traits(9, (2000, 2000), 10**7, 0.1, w, w, bf16=True)) for w in (8.0, 40.0))
    for key in ("model.window", "model.neighbourhood"):
        assert broad[key].value > thin[key].value
    assert len(broad["model.channels"].value) > len(thin["model.channels"].value)


def a_recipe(catalogue, *overrides):
    return load_recipe("unet", catalogue, (), overrides)[0]


def test_what_the_user_sets_is_taken_off_the_list_and_stays(catalogue, dataset):
    recipe = a_recipe(catalogue, "train.augment.crop=64", "train.epochs=2", "model.window=64")
    assert not {"train.augment.crop", "train.steps", "model.window"} & set(recipe.configure)
    done, plan = configured(recipe, dataset, catalogue, CPU)
    assert (done.train.augment.crop, done.train.epochs, done.train.steps, done.model["window"]) == (64, 2, None, 64)
    assert plan is not None
    assert "crop" not in yaml.safe_load(plan).get("train", {})


def test_a_file_of_the_users_counts_as_the_command_line_does(catalogue, tmp_path):
    (tmp_path / "mine.yaml").write_text("model: {channels: [4, 8]}\n")
    recipe = load_recipe("unet", catalogue, [str(tmp_path / "mine.yaml")])[0]
    assert "model.channels" not in recipe.configure
    assert "model.window" in recipe.configure
    assert recipe.model["channels"] == [4, 8]


def test_all_rules_can_be_switched_off(catalogue, dataset):
    recipe = a_recipe(catalogue, "configure=[]")
    assert configured(recipe, dataset, catalogue, CPU) == (recipe, None)


def test_the_plan_can_be_read_changed_and_given_back(catalogue, dataset, tmp_path):
    done, plan = configured(a_recipe(catalogue), dataset, catalogue, CPU)
    assert done.configure == []
    assert plan is not None
    assert "# train.steps: each of " in plan
    write_text(tmp_path / "plan.yaml", plan.replace("batch_size: ", "batch_size: 1"))
    again = load_recipe("unet", catalogue, [str(tmp_path / "plan.yaml")])[0]
    assert again.configure == []
    assert again.train.batch_size == int(f"1{done.train.batch_size}")
    assert set(differences(again, done)) == {"train.batch_size"}


def test_only_training_images_are_looked_at(catalogue, dataset, monkeypatch):
    from vesselbench.data import traits

    seen = []
    load = traits.load_with
    monkeypatch.setattr(traits, "load_with", lambda cache, sample: seen.append(sample.id) or load(cache, sample))
    configured(a_recipe(catalogue), dataset, catalogue, CPU)
    assert sorted(seen) == sorted(dataset.split.sets["train"])


def test_the_traits_are_those_of_the_images(dataset):
    found = measure_traits(dataset.of("train"), CPU)
    assert found.images == len({sample.image for sample in dataset.of("train")})
    assert found.pixels <= found.images * found.size[0] * found.size[1]
    assert 0 < found.vessel < 0.5
    assert found.width is not None
    assert found.wide is not None
    assert 1 <= found.width <= found.wide < 20


def test_a_key_without_a_rule_and_a_model_without_rules_are_refused(catalogue, dataset):
    recipe = a_recipe(catalogue, "configure=[train.learning_rate]")
    with pytest.raises(UserError, match=r"no rule for 'train.learning_rate'"):
        configured(recipe, dataset, catalogue, CPU)
    filter_ = validate_recipe({"name": "f", "model": {"name": "frangi"}, "configure": ["train.steps"]}, catalogue)
    assert FrangiConfig is catalogue.models["frangi"].Config
    with pytest.raises(UserError, match="has no rules"):
        configured(filter_, dataset, catalogue, CPU)


def test_a_run_that_goes_on_keeps_what_was_chosen(catalogue, dataset, tmp_path):
    from vesselbench.recipes import dump_recipe

    done, _ = configured(a_recipe(catalogue), dataset, catalogue, CPU)
    then = done.model_copy(update={"train": done.train.model_copy(update={"steps": 777})})
    write_text(tmp_path / "config.yaml", dump_recipe(then))
    now, plan = recipe_for(a_recipe(catalogue), dataset, catalogue, CPU, RunDir(tmp_path))
    assert plan is None
    assert differences(now, then) == {}
    assert differences(a_recipe(catalogue), then) == {}, "an unfinished run is found again by its recipe's name"


def test_a_value_that_somebody_set_himself_differs_from_one_left_to_the_rules(catalogue, dataset):
    mine, _ = configured(a_recipe(catalogue, "train.steps=7"), dataset, catalogue, CPU)
    assert set(differences(a_recipe(catalogue), mine)) == {"train.steps"}
    assert set(differences(mine, a_recipe(catalogue))) == {"train.steps"}


def test_the_reason_stands_above_the_value():
    text = plan_text(CHASE, {"model.window": Choice(64, "because")})
    assert yaml.safe_load(text) == {"model": {"window": 64}}
    assert "# model.window: because" in text


def test_a_processor_is_asked_by_its_flags(tmp_path):
    (tmp_path / "with").write_text("model name : x\nflags : fpu avx512_bf16 sse\n")
    (tmp_path / "without").write_text("flags : fpu avx2\n")
    assert multiplies_in_bf16(CPU, tmp_path / "with")
    assert not multiplies_in_bf16(CPU, tmp_path / "without")
    assert not multiplies_in_bf16(CPU, tmp_path / "absent")
