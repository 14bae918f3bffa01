from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from vesselbench.testing import check_model
from vesselbench_sa2va import Sa2VA, register_models
from vesselbench_sa2va.config import Sa2VAConfig


def test_the_plugin_imports_neither_torch_nor_transformers() -> None:
    code = "import vesselbench_sa2va, sys; print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_env())
    assert done.stdout.strip() == "[]"


def _env() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_it_registers_the_model_sa2va() -> None:
    found: list[Sa2VA] = []
    register_models(found.append)
    assert [model.name for model in found] == ["sa2va"]


def test_every_setting_is_explained() -> None:
    from vesselbench_sa2va.config import LoraSettings, LossSettings

    for part in (Sa2VAConfig, LoraSettings, LossSettings):
        assert all(field.description for field in part.model_fields.values())


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"lora\.rank"):
        Sa2VAConfig.model_validate({"lora": {"rank": 3}})


def test_leaf_modules_are_blocks_that_the_model_holds() -> None:
    from vesselbench_sa2va.building import build_shape

    held = {type(part) for part in build_shape(Sa2VAConfig()).modules()}
    assert set(Sa2VA().leaf_modules()) <= held


@pytest.mark.parametrize(
    "values",
    [
        {"masks": "single"},
        {"phrases": "turns", "prompts": "official"},
        {"checkpointing": True},
        {"answer": "generated", "answer_tokens": 4},
        {"freeze": "official", "lora": {"r": 2, "tokens": "official"}, "loss_target": "official"},
        {"resize": "squash", "max_tiles": 4, "loss": {"candidates": "chosen", "iou": 0}},
    ],
    ids=str,
)
def test_every_arrangement_keeps_the_rules_for_models(values: dict[str, object]) -> None:
    check_model(Sa2VA(), Sa2VAConfig.model_validate(values))
