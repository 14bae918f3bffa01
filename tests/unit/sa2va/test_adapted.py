"""Merged weights against peft's own merging of every layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.base_folder import write_base
from vesselbench import UserError
from vesselbench_sa2va.adapted import check_adapted
from vesselbench_sa2va.building import build
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.export import write_merged
from vesselbench_sa2va.model import Sa2VAModule

IDS = {"eos_token_id": 2}
Tune = Callable[..., tuple[Sa2VAModule, Sa2VAConfig]]


@pytest.fixture
def tune(tmp_path_factory: pytest.TempPathFactory) -> Tune:
    """A base with adapters whose factors have moved."""

    def tune(dtype: str = "float32") -> tuple[Sa2VAModule, Sa2VAConfig]:
        base = write_base(tmp_path_factory.mktemp("bases") / "base")
        values = {"size": "auto", "weights": [str(base)], "dtype": dtype, "lora": {"r": 4, "alpha": 8, "dropout": 0}}
        config = Sa2VAConfig.model_validate(values)
        module = build(config).eval()
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if ".lora_" in name:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        return module, config

    return tune


def test_an_adapted_weight_that_is_still_the_bases_is_named_however_small_its_adapter(
    tune: Tune, tmp_path: Path
) -> None:
    module, config = tune()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.mul_(5e-8 if ".lora_B." in name else 1)
    write_merged(module, config, tmp_path, IDS)
    assert check_adapted(module, tmp_path).rounded_away == ()
    held = load_file(tmp_path / "model.safetensors")
    key = "language_model.model.layers.1.mlp.down_proj.weight"
    layer = module.internvl.model.language_model.layers[1].mlp.down_proj
    save_file(held | {key: layer.base_layer.weight.detach().clone()}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"1 of 14 adapted weights .* still the base's.*layers\.1\.mlp\.down_proj"):
        check_adapted(module, tmp_path)


def test_adapters_that_bfloat16_rounds_away_are_counted_and_named(tune: Tune, tmp_path: Path) -> None:
    module, config = tune(dtype="bfloat16")
    with torch.no_grad():
        module.internvl.model.language_model.layers[0].self_attn.q_proj.lora_B["default"].weight.mul_(1e-12)
    write_merged(module, config, tmp_path, IDS)
    found = check_adapted(module, tmp_path)
    assert found.layers == 14
    assert found.rounded_away == ("language_model.model.layers.0.self_attn.q_proj.weight",)
    assert "13 of 14 differ" in found.lines()[0]
    assert "layers.0.self_attn.q_proj" in found.lines()[1]


def test_peft_finds_another_weight_when_the_scale_of_the_merge_is_wrong(tune: Tune, tmp_path: Path) -> None:
    module, config = tune()
    write_merged(module, config, tmp_path, IDS)
    for layer in module.internvl.model.language_model.layers:
        layer.mlp.up_proj.scaling["default"] *= 1.01
    with pytest.raises(UserError, match="2 of 14 adapted weights"):
        check_adapted(module, tmp_path)
