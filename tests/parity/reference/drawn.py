"""A fixture of other dimensions than the stored ones: drawn weights, two images of unequal tiles, masks and lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.parity.reference.fixture import Tensors, write_adapted, write_fixture
from tests.parity.reference.weights import WRAPPED

IGNORED = -100
CONFIG: dict[str, Any] = {
    "name": "drawn",
    "dtype": "float64",
    "tokens": {"pad": 0, "im_start": 1, "im_end": 2, "img": 3, "img_end": 4, "img_context": 5, "seg": 6},
    "template": "qwen_chat",
    "downsample_ratio": 0.5,
    "ps_version": "v2",
    "select_layer": -1,
    "vision_config": {
        "hidden_size": 48,
        "num_attention_heads": 3,
        "intermediate_size": 80,
        "num_hidden_layers": 1,
        "image_size": 56,
        "patch_size": 14,
        "qkv_bias": True,
        "qk_normalization": False,
        "norm_type": "layer_norm",
        "layer_norm_eps": 1e-6,
    },
    "llm_config": {
        "hidden_size": 40,
        "num_attention_heads": 5,
        "num_key_value_heads": 1,
        "intermediate_size": 56,
        "num_hidden_layers": 3,
        "vocab_size": 90,
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 512,
        "architectures": ["Qwen2ForCausalLM"],
        "tie_word_embeddings": False,
    },
    "sam2_config": {
        "image_size": 160,
        "embed_dim": 12,
        "num_heads": 2,
        "stages": [1, 1, 2, 1],
        "global_att_blocks": [3],
        "bkg": [5, 5],
        "window_spec": [8, 4, 6, 4],
        "d_model": 64,
        "mlp_dim": 48,
        "iou_hidden": 40,
        "mask_in_chans": 16,
        "fpn_top_down_levels": [2, 3],
        "num_heads_decoder": 4,
        "attention_downsample_rate": 2,
        "patch_stride": 4,
    },
    "losses": {
        "mask_weight": 2.0,
        "dice_weight": 0.5,
        "dice_eps": 1.0,
        "num_points": 200,
        "oversample_ratio": 3.0,
        "importance_sample_ratio": 0.75,
        "fix_number": 5,
        "torch_seed": 5,
    },
    "batch": [{"tiles": 1, "masks": 3, "size": [90, 75]}, {"tiles": 3, "masks": 1, "size": [61, 131]}],
}
LORA = {"r": 3, "lora_alpha": 6, "lora_dropout": 0.0}


def write_drawn(folder: Path, shapes: dict[str, tuple[int, ...]], seed: int = 0) -> None:
    """The fixture and its ``lora/``; `shapes` are those of all official keys at the dimensions of CONFIG."""
    generator = torch.Generator().manual_seed(seed)
    weights = {name: draw(name, shape, generator) for name, shape in shapes.items()}
    write_fixture(folder, CONFIG, weights, draw_inputs(CONFIG, generator))
    write_adapted(folder, LORA, draw_checkpoint(weights, generator))


def draw(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A tensor of such a size that no layer's output fades or explodes."""
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    if name.endswith("positional_encoding_gaussian_matrix"):
        return normal
    if name.endswith("bias"):
        return 0.1 * normal
    if name.endswith((".ls1", ".ls2")):
        return 0.6 + 0.15 * normal
    if len(shape) == 1:
        return 1 + 0.15 * normal
    if "embed" in name.rpartition(".")[0].rpartition(".")[2] or "token" in name or "embed" in name.rpartition(".")[2]:
        return 0.5 * normal
    return 1.3 * normal / normal[0].numel() ** 0.5


def draw_inputs(config: dict[str, Any], generator: torch.Generator) -> Tensors:
    """Images, masks and right-padded texts of the samples that `config` lists."""
    tile, side = config["vision_config"]["image_size"], config["sam2_config"]["image_size"]
    inputs: Tensors = {}
    texts = [_text(config, sample, generator) for sample in config["batch"]]
    longest = max(len(ids) for ids, _ in texts)
    for name, pad, part in (("input_ids", 0, 0), ("labels", IGNORED, 1)):
        inputs[name] = torch.tensor([text[part] + [pad] * (longest - len(text[part])) for text in texts])
    lengths = torch.tensor([len(ids) for ids, _ in texts])
    inputs["position_ids"] = torch.arange(longest).repeat(len(texts), 1)
    inputs["attention_mask"] = (inputs["position_ids"] < lengths[:, None]).to(torch.uint8)
    images = []
    for index, sample in enumerate(config["batch"]):
        inputs[f"pixel_values.{index}"] = torch.randn(sample["tiles"], 3, tile, tile, generator=generator)
        noise = torch.randn(sample["masks"], 6, 6, generator=generator)
        masks = torch.nn.functional.interpolate(noise[None], tuple(sample["size"]), mode="bicubic")[0]
        inputs[f"gt_masks.{index}"] = (masks > 0.2).to(torch.uint8)
        images.append(torch.randn(3, side, side, generator=generator))
    return inputs | {"grounding_pixel_values": torch.stack(images)}


def _text(config: dict[str, Any], sample: dict[str, Any], generator: torch.Generator) -> tuple[list[int], list[int]]:
    """ids and labels: the image's tokens, then per mask a question and a learned answer with one [SEG]."""
    tokens, patches = config["tokens"], config["vision_config"]["image_size"] // config["vision_config"]["patch_size"]
    words = torch.randint(10, config["llm_config"]["vocab_size"], (sample["masks"], 9), generator=generator).tolist()
    ids = [tokens["img"], *[tokens["img_context"]] * (sample["tiles"] * (patches // 2) ** 2), tokens["img_end"]]
    labels = [IGNORED] * len(ids)
    for turn in words:
        answer = [*turn[6:8], tokens["seg"], turn[8], tokens["im_end"]]
        ids += turn[:6] + answer
        labels += [IGNORED] * 6 + answer
    return ids, labels


def draw_checkpoint(weights: Tensors, generator: torch.Generator) -> Tensors:
    """A training checkpoint: factors of all seven linears of each block, and changed copies of what else is trained."""
    found: Tensors = {}
    sam = "grounding_encoder.sam2_model.sam_mask_decoder."
    for name, tensor in weights.items():
        changed = tensor + 0.05 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        inside = name.removeprefix("language_model.")
        if name.startswith("mlp1."):
            found[f"mllm.model.{name}"] = changed
        elif name.startswith(("text_hidden_fcs.", sam)):
            found[name] = changed
        elif inside in ("model.embed_tokens.weight", "lm_head.weight"):
            found[f"{WRAPPED}{inside.removesuffix('weight')}modules_to_save.default.weight"] = changed
        elif inside.endswith("_proj.weight") and inside.startswith("model.layers."):
            layer, rank = WRAPPED + inside.removesuffix("weight"), LORA["r"]
            for factor, shape in (("A", (rank, tensor.shape[1])), ("B", (tensor.shape[0], rank))):
                drawn = torch.randn(shape, generator=generator, dtype=tensor.dtype)
                found[f"{layer}lora_{factor}.default.weight"] = 0.3 * drawn / shape[1] ** 0.5
    return found
