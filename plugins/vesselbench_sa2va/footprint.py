"""Counting a size without building it: modules on the meta device have shapes and no memory."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from vesselbench.types import Footprint
from vesselbench_sa2va.building import build_shape
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.costs import costs_of
from vesselbench_sa2va.sizes import Shape
from vesselbench_sa2va.trainable import IOU_HEAD

PARTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("lora", re.compile(r"\.lora_[AB]\.")),
    ("new tokens", re.compile(r"\.modules_to_save\.|^new_(embedding|head)\.")),
    ("embedding and head", re.compile(r"\.embed_tokens\.|\.lm_head\.")),
    ("vision tower", re.compile(r"\.vision_tower\.")),
    ("projector", re.compile(r"\.multi_modal_projector\.")),
    ("language model", re.compile(r"\.language_model\.")),
    ("text_hidden_fcs", re.compile(r"^text_hidden_fcs\.")),
    ("sam iou head", re.compile(rf"^{re.escape(IOU_HEAD)}")),
    ("sam mask decoder", re.compile(r"^sam\.mask_decoder\.")),
    ("sam encoder", re.compile(r"^sam\.")),
)


def part_of(name: str) -> str:
    """The part to which a parameter belongs: the first pattern that fits."""
    return next(part for part, pattern in PARTS if pattern.search(name))


def footprint(config: Sa2VAConfig) -> Footprint:
    """Whole counts of parameters per part, the largest layer, and an estimate of the activations of one sample."""
    with torch.device("meta"):
        module = build_shape(config)
    parts: dict[str, tuple[int, int]] = {part: (0, 0) for part, _ in PARTS}
    layers: dict[str, int] = {}
    for name, parameter in module.named_parameters():
        total, trainable = parts[part_of(name)]
        size = parameter.numel()
        parts[part_of(name)] = (total + size, trainable + size * parameter.requires_grad)
        block = re.match(r".*?\.(layers?|blocks)\.\d+\.", name)
        layers[block.group() if block else name] = layers.get(block.group() if block else name, 0) + size
    trainable = sum(part[1] for part in parts.values())
    total = sum(part[0] for part in parts.values())
    return Footprint(
        frozen=total - trainable,
        trainable=trainable,
        largest_layer=max(layers.values()),
        activation_bytes_per_sample=activation_bytes(config, module.shape),
        parts={part: counts for part, counts in parts.items() if counts[0]},
        costs=costs_of(config, module.shape, parts) if config.size != "tiny" else None,
        notes=(*_idle_heads(parts, config), *_notes(parts, config.lora.tokens == "official" and config.frozen)),
    )


def _idle_heads(parts: Mapping[str, tuple[int, int]], config: Sa2VAConfig) -> tuple[str, ...]:
    """What is frozen because its term of the loss weighs nothing."""
    iou = f"model.loss.iou=0: the IoU head is frozen, {parts['sam iou head'][0]:,} parameters."
    head = "model.loss.llm=0: the language model's head is frozen, and what the new tokens add to it."
    return (() if config.loss.iou else (iou,)) + (() if config.loss.llm else (head,))


def _notes(parts: Mapping[str, tuple[int, int]], copies: bool) -> tuple[str, ...]:
    """What the trained copies of embedding and head come to, and the figure that a count under ZeRO-3 makes of it."""
    if not copies:
        return ()
    learned = parts["lora"][1] + parts["new tokens"][1]
    seen = learned + parts["embedding and head"][0]
    return (
        f"LoRA and the trained copies of embedding and head: {learned:,} parameters.",
        f"A count under ZeRO-3 that takes split weights for empty prints {seen:,} in all, {learned / seen:.2%} "
        "trainable: see docs/footguns.md.",
    )


def activation_bytes(config: Sa2VAConfig, shape: Shape) -> int:
    """Rough bytes (2 per number) that one sample keeps for backward: 34 numbers per channel, token and block.

    Counting rule: Korthikanti et al. 2022, equation 2, without the attention matrix (SDPA does not keep it). Frozen
    towers run without gradients and keep nothing.
    """
    tiles = config.max_tiles or shape.max_tiles
    tiles += tiles > 1
    tokens = tiles * shape.vision.tokens_per_tile + 64
    language = 34 * tokens * shape.language.hidden * shape.language.layers
    decoder = 34 * 2 * (shape.sam.image // 16) ** 2 * shape.sam.width + 8 * shape.sam.grid**2 * shape.sam.width
    if config.frozen:
        return language + decoder
    patches = (shape.vision.tile // shape.vision.patch) ** 2 + 1
    vision = 34 * tiles * patches * shape.vision.hidden * shape.vision.layers
    trunk: int = sum(
        34 * (shape.sam.grid // 2**stage) ** 2 * width * blocks
        for stage, (width, blocks) in enumerate(zip(shape.sam.dims, shape.sam.stages, strict=True))
    )
    return language + decoder + vision + trunk
