from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vesselbench import Task, UserError
from vesselbench_sa2va import Sa2VA
from vesselbench_sa2va.building import tokenizer_for
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.release import shape_from
from vesselbench_sa2va.sizes import SIZES

RELEASED: dict[str, Any] = {
    "force_image_size": 448,
    "downsample_ratio": 0.5,
    "ps_version": "v2",
    "select_layer": -1,
    "max_dynamic_patch": 12,
    "template": "qwen_chat",
    "vision_config": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "image_size": 448,
        "patch_size": 14,
        "norm_type": "layer_norm",
        "qk_normalization": False,
        "qkv_bias": True,
    },
    "llm_config": {
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "intermediate_size": 8960,
        "vocab_size": 151679,
        "max_position_embeddings": 32768,
        "rope_theta": 1000000.0,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
    },
}


def _write(folder: Path, **changes: Any) -> Path:
    values = json.loads(json.dumps(RELEASED))
    for key, value in changes.items():
        part, _, inner = key.partition("__")
        if inner:
            values[part][inner] = value
        else:
            values[part] = value
    (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("vocabulary", [151674, 151679])
def test_a_released_2b_and_its_base_have_the_shape_of_the_size_2b(vocabulary: int, tmp_path: Path) -> None:
    assert shape_from(_write(tmp_path, llm_config__vocab_size=vocabulary)) == SIZES["2b"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"llm_config__architectures": ["InternLM2ForCausalLM"]}, "InternLM2ForCausalLM"),
        ({"vision_config__qk_normalization": True}, "qk_normalization"),
        ({"ps_version": "v1"}, "ps_version"),
        ({"template": "vicuna"}, "vicuna"),
        ({"vision_config": {"hidden_size": 1024}}, "num_hidden_layers"),
    ],
)
def test_another_kind_is_refused_with_what_is_supported(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=named):
        shape_from(_write(tmp_path, **change))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"model_type": "unet"}'])
def test_a_folder_without_a_usable_config_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json"):
        shape_from(tmp_path)


def test_auto_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.size: auto"):
        Sa2VA().footprint(Sa2VAConfig.model_validate({"size": "auto"}), Task(("vessel",)))


def test_base_weights_are_known_by_their_digest(tmp_path: Path) -> None:
    assert Sa2VA().base_weights(Sa2VAConfig()) == {}


def test_a_missing_tokenizer_is_asked_for() -> None:
    with pytest.raises(UserError, match="no tokenizer"):
        tokenizer_for(Sa2VAConfig.model_validate({"size": "8b"}))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tokenizer that can be read"):
        tokenizer_for(Sa2VAConfig.model_validate({"size": "8b", "tokenizer": str(tmp_path)}))


def test_transformers_own_configuration_gives_the_same_shape(tmp_path: Path) -> None:
    vision = {k: v for k, v in RELEASED["vision_config"].items() if k not in ("qkv_bias", "qk_normalization")}
    vision |= {"image_size": [448, 448], "patch_size": [14, 14], "attention_bias": True, "use_qk_norm": False}
    language = {k: v for k, v in RELEASED["llm_config"].items() if k != "architectures"} | {"model_type": "qwen2"}
    values = {"vision_config": vision, "text_config": language, "downsample_ratio": 0.5}
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert shape_from(tmp_path) == SIZES["2b"]


def test_a_folder_of_another_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    config = Sa2VAConfig.model_validate({"size": "8b", "weights": [str(_write(tmp_path))]})
    with pytest.raises(UserError, match=r"28 layers of width 1536, not 28 of 3584") as caught:
        Sa2VA().build(config, Task(("vessel",)))
    assert caught.value.hint == "set model.size=2b"
