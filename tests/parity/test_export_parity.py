"""Exported names, shapes and bits against released checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import Sam2VideoConfig, Sam2VideoModel

from vesselbench_sa2va.building import shape_of
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.export import merged_config, write_merged
from vesselbench_sa2va.export_config import released_config
from vesselbench_sa2va.export_memory import released_name
from vesselbench_sa2va.merged import official_tensors
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.names import SAM, UNUSED
from vesselbench_sa2va.release import shape_from
from vesselbench_sa2va.sam2 import sam2_config
from vesselbench_sa2va.sizes import SIZES

LISTS = Path(__file__).parents[2] / "../shared/sa2va"
IDS = {"eos_token_id": 151645}


def _listed(name: str) -> Any:
    path = LISTS / name
    if not path.is_file():
        pytest.skip("the key lists of released checkpoints are not beside this repository")
    return json.loads(path.read_text())


def _exported_shapes(size: str, tokens: str) -> dict[str, tuple[int, ...]]:
    config = Sa2VAConfig.model_validate({"size": size, "freeze": "official", "lora": {"tokens": tokens}})
    with torch.device("meta"):
        module = Sa2VAModule(SIZES[size], config, frozen=True)
        return {key: tuple(tensor.shape) for key, tensor in official_tensors(module)}


@pytest.mark.parametrize("tokens", ["lean", "official"])
def test_parity_of_exported_names_and_shapes_with_the_released_2b(tokens: str) -> None:
    listed = {key: tuple(shape) for key, shape in _listed("official-2b-keys.json").items()}
    memory = {key for key in listed if UNUSED.match(key.removeprefix(SAM))}
    assert len(memory) == 157
    assert _exported_shapes("2b", tokens) == {key: shape for key, shape in listed.items() if key not in memory}


def test_parity_of_exported_names_with_a_real_8b() -> None:
    listed = _listed("official-8b.index.json")["weight_map"].keys()
    memory = {key for key in listed if UNUSED.match(key.removeprefix(SAM))}
    assert _exported_shapes("8b", "lean").keys() == listed - memory


def test_parity_of_the_memory_of_transformers_video_model_with_the_released_one() -> None:
    listed = {key: tuple(shape) for key, shape in _listed("official-2b-keys.json").items()}
    image = sam2_config(SIZES["2b"].sam)
    config = Sam2VideoConfig(
        vision_config=image.vision_config,
        prompt_encoder_config=image.prompt_encoder_config,
        mask_decoder_config=image.mask_decoder_config,
        enable_occlusion_spatial_embedding=False,
        enable_temporal_pos_encoding_for_object_pointers=False,
    )
    with torch.device("meta"):
        held = Sam2VideoModel(config).state_dict()
    found = {released_name(key): tuple(tensor.shape) for key, tensor in held.items() if UNUSED.match(key)}
    assert found == {key: shape for key, shape in listed.items() if UNUSED.match(key.removeprefix(SAM))}


def test_parity_of_an_import_that_is_exported_again_is_bit_for_bit(oracle: Any, tmp_path: Path) -> None:
    module = oracle.build(freeze="none")
    config = Sa2VAConfig.model_validate({"size": "auto", "weights": [str(oracle.folder)]})
    given = load_file(oracle.folder / "model.safetensors")
    lines = write_merged(module, config, tmp_path, IDS, largest=2**20)
    written = {key: tensor for path in tmp_path.glob("*.safetensors") for key, tensor in load_file(path).items()}
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert written.keys() == given.keys()
    assert [key for key, tensor in given.items() if not torch.equal(tensor, written[key])] == []
    memory = sum(UNUSED.match(key.removeprefix(SAM)) is not None for key in given)
    assert any(f"{memory} of 157" in line for line in lines)
    assert shape_of(merged_config(config, tmp_path)) == shape_of(config)


@pytest.mark.parametrize("size", ["1b", "2b", "8b", "14b"])
def test_parity_of_the_configuration_of_a_released_size(size: str, tmp_path: Path) -> None:
    made = released_config(SIZES[size], "bfloat16", IDS, {})
    (tmp_path / "config.json").write_text(json.dumps(made))
    assert shape_from(tmp_path) == SIZES[size]
    assert not {"sam2_config", "tokens"} & made.keys()
    assert made["llm_config"]["vocab_size"] == 151679
    assert made["llm_config"]["architectures"] == ["Qwen2ForCausalLM"]
    wanted = {
        "model_type": "sa2va_chat",
        "architectures": ["Sa2VAChatModel"],
        "downsample_ratio": 0.5,
        "ps_version": "v2",
        "select_layer": -1,
        "force_image_size": 448,
        "max_dynamic_patch": 12,
        "template": "qwen_chat",
        "tie_word_embeddings": False,
    }
    assert {key: made[key] for key in wanted} == wanted


def test_parity_of_a_base_of_internvl_which_lends_its_networks_settings_only() -> None:
    base = {
        "model_type": "internvl_chat",
        "auto_map": {"AutoModel": "other.Model"},
        "system_message": None,
        "llm_config": {"vocab_size": 151674, "rope_scaling": {"factor": 2.0}, "eos_token_id": 1},
    }
    made = released_config(SIZES["2b"], "float32", IDS, base)
    assert made["auto_map"]["AutoModel"] == "modeling_sa2va_chat.Sa2VAChatModel"
    assert "system_message" not in made
    assert made["llm_config"]["vocab_size"] == 151679
    assert made["llm_config"]["rope_scaling"] == {"factor": 2.0}
    assert made["llm_config"]["eos_token_id"] == 1
