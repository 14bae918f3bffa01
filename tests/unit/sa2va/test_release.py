from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.base_folder import CONFIG
from vesselbench import Task, UserError
from vesselbench_sa2va import Sa2VA
from vesselbench_sa2va.building import shape_of, skeleton, tokenizer_for
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.release import refuse_unknown_folders, shape_from
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
    with pytest.raises(UserError) as caught:
        Sa2VA().build(config, Task(("vessel",)))
    assert caught.value.message == (
        f"model.size is 8b, but {tmp_path} states another model: language.hidden 1536 instead of 3584,"
        " language.heads 12 instead of 28, language.kv_heads 2 instead of 4, language.mlp 8960 instead of 18944"
    )
    assert caught.value.hint == "set model.size=2b"


INTERNVL: dict[str, Any] = {
    "architectures": ["InternVLChatModel"],
    "model_type": "internvl_chat",
    "template": "internvl2_5",
    "system_message": None,
    "llm_config__vocab_size": 151674,
    "llm_config__model_type": "qwen2",
    "llm_config__rope_scaling": {"factor": 2.0, "rope_type": "dynamic", "type": "dynamic"},
    "llm_config__use_sliding_window": False,
    "llm_config__sliding_window": None,
}
"""What an InternVL3 folder states beyond or unlike a Sa2VA one."""


def test_an_internvl_base_is_asked_in_the_way_of_sa2va_whatever_its_own_template(tmp_path: Path) -> None:
    assert shape_from(_write(tmp_path, **INTERNVL)) == SIZES["2b"]
    assert shape_from(tmp_path).template == "qwen_chat"


def test_a_released_folder_keeps_the_template_that_it_states(tmp_path: Path) -> None:
    folder = _write(tmp_path, model_type="sa2va_chat", template="phi3_chat")
    assert shape_from(folder).template == "phi3_chat"
    with pytest.raises(UserError, match="the template is 'internvl2_5'"):
        shape_from(_write(tmp_path, model_type="sa2va_chat", template="internvl2_5"))


def test_positions_that_are_scaled_at_any_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"llm_config\.rope_scaling is of the kind 'yarn'"):
        shape_from(_write(tmp_path, llm_config__rope_scaling={"type": "yarn", "factor": 4.0}))


def test_values_that_change_no_dimension_are_taken_from_the_folder_of_a_named_size(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"llm_config__rms_norm_eps": 1e-5, "llm_config__max_position_embeddings": 12288}
    folder = _write(tmp_path, **changes)
    config = Sa2VAConfig.model_validate({"size": "2b", "weights": [str(folder)]})
    assert shape_of(config) == shape_from(folder)
    assert shape_of(config).language.eps == 1e-5
    skeleton(config)
    assert caplog.messages == [
        f"model.size=2b: 2 of its values are those of {folder}/config.json: language.positions 12288 instead of 32768,"
        " language.eps 1e-05 instead of 1e-06"
    ]


def test_the_tiles_of_a_named_size_are_those_that_the_folder_states(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _write(tmp_path, max_dynamic_patch=6)
    config = Sa2VAConfig.model_validate({"size": "2b", "weights": [str(folder)]})
    assert shape_of(config).max_tiles == 6
    skeleton(config)
    assert caplog.messages == [
        f"model.size=2b: 1 of its values are those of {folder}/config.json: max_tiles 6 instead of 12"
    ]


@pytest.mark.parametrize("size", ["auto", "2b"])
def test_a_recipe_may_set_other_tiles_than_the_folder_and_it_is_said(
    size: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = _write(tmp_path, max_dynamic_patch=12)
    for tiles in (12, 4):
        skeleton(Sa2VAConfig.model_validate({"size": size, "weights": [str(folder)], "max_tiles": tiles}))
    assert caplog.messages == [f"model.max_tiles=4: {folder}/config.json states 12"]


def test_two_folders_of_unlike_models_are_refused(tmp_path: Path) -> None:
    for name, width in (("a", 1536), ("b", 3072)):
        (tmp_path / name).mkdir()
        _write(tmp_path / name, llm_config__hidden_size=width)
    config = Sa2VAConfig.model_validate({"size": "auto", "weights": [str(tmp_path / "a"), str(tmp_path / "b")]})
    with pytest.raises(UserError, match=r"b states another model: language\.hidden 3072 instead of 1536\n"):
        shape_of(config)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"vision_config": 3}, "vision_config is 3, wanted is a mapping"),
        ({"vision_config__hidden_size": "48"}, "vision_config.hidden_size is '48', wanted is a whole number from 1"),
        ({"vision_config__hidden_size": True}, "vision_config.hidden_size is True, wanted is a whole number"),
        (
            {"vision_config__hidden_size": 1000},
            "vision_config.hidden_size 1000 is no multiple of num_attention_heads 16",
        ),
        ({"llm_config__rms_norm_eps": float("nan")}, "llm_config.rms_norm_eps is nan, wanted is a number above 0"),
        ({"llm_config__num_hidden_layers": -1}, "llm_config.num_hidden_layers is -1, wanted is a whole number"),
        ({"max_dynamic_patch": [12]}, "max_dynamic_patch is a list of 1, wanted is a whole number"),
        ({"llm_config__rope_scaling": "dynamic"}, "llm_config.rope_scaling is 'dynamic', wanted is a mapping"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_place(change: dict[str, Any], found: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        shape_from(_write(tmp_path, **change))
    assert caught.value.message.startswith(f"{tmp_path}/config.json: {found}")


@pytest.mark.parametrize(
    "content", [b'\xff\xfe\x00"llm_config"', b'{"llm_config": 1' + b"0" * 5000 + b"}", b"[" * 99999]
)
def test_bytes_that_are_no_json_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    config = Sa2VAConfig.model_validate({"size": "auto", "weights": [str(tmp_path)]})
    with pytest.raises(UserError, match=r"config\.json is not JSON: "):
        skeleton(config)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
IN_TRANSFORMERS = {"vision_config": RELEASED["vision_config"], "text_config": RELEASED["llm_config"]}
WITH_ALL = RELEASED | {key: CONFIG[key] for key in ("tokens", "sam2_config")} | {"model_type": "sa2va_chat"}


@settings(max_examples=300)
@given(st.data(), st.sampled_from([WITH_ALL, IN_TRANSFORMERS]))
def test_any_change_of_a_configuration_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, original: dict[str, Any]
) -> None:
    values: dict[str, Any] = json.loads(json.dumps(original))
    for _ in range(data.draw(st.integers(1, min(3, len(values) - 1)))):
        part = values
        key = data.draw(st.sampled_from(sorted(part)))
        if isinstance(part[key], dict) and part[key] and data.draw(st.booleans()):
            part, key = part[key], data.draw(st.sampled_from(sorted(part[key])))
        if data.draw(st.booleans()):
            part[key] = data.draw(VALUES)
        else:
            del part[key]
    folder = tmp_path_factory.getbasetemp() / "mutated"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(values))
    message = str(folder / "config.json")
    try:
        refuse_unknown_folders([folder])
        shape_from(folder)
    except UserError as error:
        message = error.message
    assert str(folder / "config.json") in message
    assert message.isascii()
