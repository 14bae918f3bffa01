"""From settings to the module and the tokenizer; every setting that cannot be met is refused here."""

from __future__ import annotations

from tokenizers import Tokenizer
from transformers.models.internvl.modeling_internvl import InternVLVisionLayer
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer
from transformers.models.sam2.modeling_sam2 import Sam2FeedForward, Sam2MultiScaleBlock

from vesselbench import UserError
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.sizes import SIZES
from vesselbench_sa2va.tokens import tiny_tokenizer


def frozen_of(config: Sa2VAConfig) -> bool:
    """Whether the base is frozen: what was loaded may be, what is random must learn."""
    return config.weights is not None if config.freeze == "auto" else config.freeze == "official"


def build_shape(config: Sa2VAConfig) -> Sa2VAModule:
    """The modules with random weights, on the current default device."""
    return Sa2VAModule(SIZES[config.size], config, frozen_of(config))


def build(config: Sa2VAConfig) -> Sa2VAModule:
    """The module that a recipe describes, with its weights."""
    if config.answer == "generated":
        raise UserError("model.answer: generated answers are not built yet", "set model.answer=forced")
    if config.weights is not None:
        raise UserError("model.weights: loading released weights is not built yet", "leave model.weights out")
    if config.size != "tiny":
        raise UserError(
            f"model.size: {config.size} needs weights; with random ones it would learn nothing in any usual time",
            "set model.weights to a folder of released weights, or model.size=tiny",
        )
    return build_shape(config)


def tokenizer_for(config: Sa2VAConfig) -> Tokenizer:
    """The tokenizer of the size: its own for tiny, else that of the folder model.tokenizer or model.weights."""
    if config.size == "tiny" and config.tokenizer is None:
        return tiny_tokenizer()
    raise UserError("model.tokenizer: reading a tokenizer folder is not built yet", "set model.size=tiny")


def leaf_modules() -> list[type]:
    """Transformer blocks and small perceptrons of all three networks.

    SAM's two-way block is not among them: as a leaf of ZeRO-3 its weights are released before their backward pass.
    """
    return [InternVLVisionLayer, Qwen2DecoderLayer, Sam2MultiScaleBlock, Sam2FeedForward]
