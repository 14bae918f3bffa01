"""A module is a skeleton and its filling; what is not in a file starts as its makers start it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from tests.base_folder import write_base
from vesselbench import Task, UserError
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import validate_recipe
from vesselbench_sa2va import Sa2VA
from vesselbench_sa2va.config import Sa2VAConfig

TASK = Task(("vessel",))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"))


def config_of(base: Path, **values: object) -> Sa2VAConfig:
    return Sa2VAConfig.model_validate({"size": "auto", "weights": [str(base)], "lora": {"r": 4}, **values})


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return dict([*module.named_parameters(), *module.named_buffers()])


def test_skeleton_and_filling_make_what_build_makes(base):
    plugin, config = Sa2VA(), config_of(base)
    torch.manual_seed(5)
    built = state(plugin.build(config, TASK))
    torch.manual_seed(5)
    module = plugin.skeleton(config, TASK)
    assert all(tensor.is_meta for tensor in module.parameters())
    settled: list[nn.Parameter] = []
    plugin.fill(module, config, settled.append)
    assert [id(parameter) for parameter in settled] == [id(parameter) for parameter in module.parameters()]
    filled = state(module)
    assert filled.keys() == built.keys()
    assert all(torch.equal(filled[name], built[name]) for name in built)


def test_a_parameter_is_settled_with_its_value_and_before_the_next_is_read(base):
    plugin, config = Sa2VA(), config_of(base)
    module = plugin.skeleton(config, TASK)
    left = []

    def settle(parameter: nn.Parameter) -> None:
        assert not parameter.is_meta
        left.append(sum(other.is_meta for other in module.parameters()))

    plugin.fill(module, config, settle)
    assert left == list(range(len(left) - 1, -1, -1))


def test_adapters_get_the_very_numbers_that_peft_would_draw(base):
    plugin, config = Sa2VA(), config_of(base)
    module = plugin.skeleton(config, TASK)
    torch.manual_seed(7)
    plugin.fill(module, config, lambda parameter: None)
    torch.manual_seed(7)
    for part in module.modules():
        if isinstance(part, LoraLayer):
            drawn = part.lora_A["default"].weight.detach().clone()
            part.reset_lora_parameters("default", True)
            assert torch.equal(part.lora_A["default"].weight, drawn)


def test_random_weights_have_no_skeleton():
    assert Sa2VA().skeleton(Sa2VAConfig(), TASK) is None
    with pytest.raises(UserError, match="8b needs weights"):
        Sa2VA().skeleton(Sa2VAConfig.model_validate({"size": "8b"}), TASK)


def test_paths_of_weights_and_tokenizer_are_kept_absolute(base, monkeypatch):
    monkeypatch.chdir(base.parent)
    values = {"name": "sa2va", "weights": [base.name, "~/sam2.pt"], "tokenizer": base.name}
    recipe = validate_recipe({"name": "x", "model": values}, load_catalogue("sa2va"))
    assert recipe.model["weights"] == [str(base), str(Path("~/sam2.pt").expanduser())]
    assert recipe.model["tokenizer"] == str(base)
    assert validate_recipe(recipe.model_dump(mode="json"), load_catalogue("sa2va")) == recipe


def test_the_file_of_a_split_is_kept_absolute(base, monkeypatch):
    monkeypatch.chdir(base)
    data = {"split": {"file": "split.json"}}
    recipe = validate_recipe({"name": "x", "model": {"name": "sa2va"}, "data": data}, load_catalogue("sa2va"))
    assert recipe.data.split.file == base / "split.json"
