"""What is trained: `requires_grad` of every parameter, which is also what a checkpoint holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

from vesselbench_sa2va.config import Sa2VAConfig

OFFICIAL = re.compile(
    r"(^|\.)lora_|\.modules_to_save\.|^new_embedding\.|^new_head\.|\.multi_modal_projector\.|^text_hidden_fcs\."
    r"|^sam\.mask_decoder\."
)
"""Trained in the official fine-tuning: adapters, new tokens, projector, text_hidden_fcs and the mask decoder."""

UNREACHED = r"^sam\.prompt_encoder\.(mask_embed|point_embed)\.|^sam\.mask_decoder\.pred_obj_score_head\."
"""Parts of SAM 2 that no loss reaches when a [SEG] state is the only prompt."""
MASK = "sam.mask_decoder.output_hypernetworks_mlps."
"""The small network of each mask token, by its number."""
IOU_HEAD = "sam.mask_decoder.iou_prediction_head."
HEAD = r"|^new_head\.|\.lm_head\."


def set_trainable(module: nn.Module, frozen: bool, config: Sa2VAConfig) -> None:
    """Set `requires_grad` everywhere; with `frozen` only what the official fine-tuning trains, else everything.

    What no loss reaches is frozen in either case, it would only decay.
    """
    unreached = unreached_by(config)
    for name, parameter in module.named_parameters():
        wanted = OFFICIAL.search(name) is not None if frozen else True
        parameter.requires_grad_(wanted and unreached.search(name) is None)


def unreached_by(config: Sa2VAConfig) -> re.Pattern[str]:
    """Names of the parameters that no term of the loss reaches: with the mask tokens that are not used (1 to 3 when the
    decoder makes a single mask, else 0) the heads of terms whose weight is 0."""
    pattern = f"{UNREACHED}|^{re.escape(MASK)}" + ("[123]" if config.masks == "single" else "0")
    if not config.loss.iou:
        pattern += f"|^{re.escape(IOU_HEAD)}"
    return re.compile(pattern + ("" if config.loss.llm else HEAD))


def alternatives(config: Sa2VAConfig) -> list[list[str]]:
    """Groups of name prefixes of which a step reaches one only: where the chosen candidate alone learns, the networks
    of the three masks. Which one is chosen is the model's own doing, and may be the same throughout a training."""
    several = config.masks == "three" and config.loss.candidates == "chosen"
    return [[f"{MASK}{number}." for number in (1, 2, 3)]] if several else []


def checkpoint_blocks(networks: Iterable[Any]) -> None:
    """Let the transformer blocks of some networks keep no activations (Chen et al. 2016), and draw the same dropout
    again when they are run a second time."""
    for network in networks:
        network.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
