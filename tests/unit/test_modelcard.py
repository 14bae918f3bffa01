"""The recipe that is handed out with a model."""

from __future__ import annotations

import pytest

from vesselbench.modelcard import public_recipe
from vesselbench.recipes import dump_recipe, validate_recipe


def test_the_public_recipe_names_no_folder_team_or_file_of_the_user(catalogue):
    deepspeed = {
        "zero_optimization": {
            "offload_param": {"device": "nvme", "nvme_path": "/home/jane.doe/scratch", "pin_memory": True},
            "offload_optimizer": {"device": "cpu", "nvme_path": "../doe/swap/"},
        },
        "aio": {"block_size": 1048576, "roots": ["C:\\Users\\doe\\disk", "~doe/disk"]},
        "wandb": {"enabled": False, "team": "doe", "project": "st-luke"},
        "tensorboard": {"output_path": "st-luke", "job_name": "doe"},
    }
    values = {"name": "doe-lung", "model": {"name": "unet"}, "train": {"deepspeed": deepspeed}}
    public = public_recipe(validate_recipe(values, catalogue))
    assert [word for word in ("doe", "luke", "home", "Users", "/", "\\") if word in dump_recipe(public)] == []
    assert public.name == "custom"
    assert public.train.deepspeed == {
        "zero_optimization": {
            "offload_param": {"device": "nvme", "nvme_path": "scratch", "pin_memory": True},
            "offload_optimizer": {"device": "cpu", "nvme_path": "swap"},
        },
        "aio": {"block_size": 1048576, "roots": ["disk", "disk"]},
    }


@pytest.mark.parametrize(("name", "shown"), [("unet", "unet"), ("sa2va-8b", "sa2va-8b"), ("ward7", "custom")])
def test_the_name_of_a_shipped_recipe_or_of_the_model_is_kept_and_no_other(name, shown, catalogue):
    assert public_recipe(validate_recipe({"name": name, "model": {"name": "unet"}}, catalogue)).name == shown
