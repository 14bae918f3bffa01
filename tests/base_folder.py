"""A folder of base weights in the released layout, random and as small or large as a test wants it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.names import official_keys, plain
from vesselbench_sa2va.release import shape_from
from vesselbench_sa2va.tokens import tiny_tokenizer
from vesselbench_sa2va.weights import FRESH

CONFIG: dict[str, Any] = {
    "tokens": {"img_context": 261, "seg": 268},
    "max_dynamic_patch": 1,
    "vision_config": {
        "hidden_size": 48,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "num_hidden_layers": 1,
        "image_size": 56,
        "patch_size": 14,
    },
    "llm_config": {
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "vocab_size": 273,
        "max_position_embeddings": 2048,
    },
    "sam2_config": {
        "image_size": 64,
        "embed_dim": 16,
        "num_heads": 1,
        "stages": [1, 1, 2, 1],
        "window_spec": [8, 4, 4, 4],
        "global_att_blocks": [3],
        "bkg": [7, 7],
        "d_model": 64,
        "mlp_dim": 128,
        "num_heads_decoder": 8,
        "attention_downsample_rate": 2,
        "iou_hidden": 64,
        "mask_in_chans": 16,
        "fpn_top_down_levels": [2, 3],
    },
}
"""A model of 0.4 million parameters."""


def write_base(folder: Path, shards: int = 1, seed: int = 0, **language: Any) -> Path:
    """Write config.json, tokenizer and weights of `CONFIG`, its ``llm_config`` changed by `language`."""
    folder.mkdir(parents=True, exist_ok=True)
    values = json.loads(json.dumps(CONFIG))
    values["llm_config"] |= language
    (folder / "config.json").write_text(json.dumps(values))
    write_tokenizer(folder)
    tensors = random_tensors(folder, seed)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    table: dict[str, str] = {}
    for number in range(shards):
        name = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        keys = sorted(tensors)[number::shards]
        save_file({key: tensors[key] for key in keys}, folder / name)
        table |= dict.fromkeys(keys, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    return folder


def write_tokenizer(folder: Path) -> None:
    """The tiny tokenizer in the files of a released one."""
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer()).save_pretrained(folder)


def random_tensors(folder: Path, seed: int = 0) -> dict[str, Tensor]:
    """Values of standard deviation 0.05 under every official key of the model that a folder's config.json states."""
    config = Sa2VAConfig.model_validate({"size": "auto", "weights": [str(folder)]})
    with torch.device("meta"):
        module = Sa2VAModule(shape_from(folder), config, frozen=True)
    stored = [*module.named_parameters(), *module.named_buffers()]
    shapes = {plain(name): tensor.shape for name, tensor in stored if "." in name}
    kept = [n for n in shapes if n.startswith(("vlm.", "sam.", "text_")) and ".lora_" not in n and "inv_freq" not in n]
    assert all(not FRESH.search(name) or name.startswith("text_") for name in kept)
    generator, tensors = torch.Generator().manual_seed(seed), {}
    for key, entries in official_keys(kept).items():
        name, _, parts = entries[0]
        first, *rest = shapes[name]
        size = (first // parts * len(entries), *rest)
        tensors[key] = torch.empty(size).normal_(0, 0.05, generator=generator)
    return tensors
