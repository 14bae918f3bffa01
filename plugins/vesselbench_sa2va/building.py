"""From settings to the module and the tokenizer; every setting that cannot be met is refused here."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers.models.internvl.modeling_internvl import InternVLVisionLayer
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer
from transformers.models.sam2.modeling_sam2 import Sam2FeedForward, Sam2MultiScaleBlock

from vesselbench import UserError
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.release import has_language, shape_from
from vesselbench_sa2va.sizes import SIZES, Shape
from vesselbench_sa2va.tokens import read_tokenizer, tiny_tokenizer
from vesselbench_sa2va.weights import fill, find_sources

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def frozen_of(config: Sa2VAConfig) -> bool:
    """Whether the base is frozen: what was loaded may be, what is random must learn."""
    return bool(config.weights) if config.freeze == "auto" else config.freeze == "official"


def shape_of(config: Sa2VAConfig) -> Shape:
    """The dimensions of a size; for auto those of the first folder of weights that states them."""
    if config.size != "auto":
        return SIZES[config.size]
    folders = _described(config)
    if not folders:
        raise UserError("model.size: auto needs a folder with a config.json in model.weights", "or set model.size=8b")
    return shape_from(folders[0])


def _described(config: Sa2VAConfig) -> list[Path]:
    return [path for path in config.weights if has_language(path)]


def _refuse_other_size(config: Sa2VAConfig, shape: Shape) -> None:
    """Say so before any file is opened when a folder states another kind or size of model."""
    for folder in _described(config):
        stated = shape_from(folder)
        if (stated.language, stated.vision) != (shape.language, shape.vision):
            fitting = [name for name, known in SIZES.items() if known.language == stated.language]
            raise UserError(
                f"model.size is {config.size}, but {folder} states a language model of {stated.language.layers} layers"
                f" of width {stated.language.hidden}, not {shape.language.layers} of {shape.language.hidden}",
                f"set model.size={(fitting or ['auto'])[0]}",
            )


def build_shape(config: Sa2VAConfig) -> Sa2VAModule:
    """The modules with random weights, on the current default device."""
    return Sa2VAModule(shape_of(config), config, frozen_of(config))


def build(config: Sa2VAConfig) -> Sa2VAModule:
    """The module that a recipe describes, with its weights. Raises UserError for settings that cannot be met."""
    if config.answer == "generated":  # the module can; evaluation cannot yet keep an answer's text and status
        raise UserError("model.answer: generated answers cannot be scored yet", "set model.answer=forced")
    if not config.weights:
        if config.size != "tiny":
            raise UserError(
                f"model.size: {config.size} needs weights; with random ones it would learn nothing in any usual time",
                "set model.weights to a folder of released weights, or model.size=tiny",
            )
        return build_shape(config)
    _refuse_other_size(config, shape_of(config))
    with torch.device("meta"):
        module = build_shape(config)
    fill(module, find_sources(module, config.weights, len(module.shape.tokens.new)), DTYPES[config.dtype])
    return module


def tokenizer_for(config: Sa2VAConfig) -> Tokenizer:
    """The tokenizer of the size: its own for tiny, else that of model.tokenizer or of the weights' folder."""
    if config.size == "tiny" and config.tokenizer is None:
        return tiny_tokenizer()
    folder = config.tokenizer or next(
        (path for path in config.weights if (path / "tokenizer_config.json").is_file()), None
    )
    if folder is None:
        raise UserError("no tokenizer in model.weights", "set model.tokenizer to the folder of a tokenizer")
    return read_tokenizer(folder, shape_of(config))


def leaf_modules() -> list[type]:
    """Transformer blocks and small perceptrons of all three networks.

    SAM's two-way block is not among them: as a leaf of ZeRO-3 its weights are released before their backward pass.
    """
    return [InternVLVisionLayer, Qwen2DecoderLayer, Sam2MultiScaleBlock, Sam2FeedForward]
