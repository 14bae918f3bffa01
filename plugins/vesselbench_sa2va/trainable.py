"""What is trained: `requires_grad` of every parameter, which is also what a checkpoint holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

OFFICIAL = re.compile(
    r"(^|\.)lora_|\.modules_to_save\.|^new_embedding\.|^new_head\.|\.multi_modal_projector\.|^text_hidden_fcs\."
    r"|^sam\.mask_decoder\."
)
"""Trained in the official fine-tuning: adapters, new tokens, projector, text_hidden_fcs and the mask decoder."""

UNREACHED = r"^sam\.prompt_encoder\.(mask_embed|point_embed)\.|^sam\.mask_decoder\.pred_obj_score_head\."
"""Parts of SAM 2 that no loss reaches when a [SEG] state is the only prompt."""
OTHER_MASKS = r"|^sam\.mask_decoder\.output_hypernetworks_mlps\."


def set_trainable(module: nn.Module, frozen: bool, single: bool) -> None:
    """Set `requires_grad` everywhere; with `frozen` only what the official fine-tuning trains, else everything.

    What no loss reaches is frozen in either case, it would only decay: with it the mask tokens that are not used, 1 to
    3 when the decoder makes a `single` mask, else 0.
    """
    unreached = re.compile(UNREACHED + OTHER_MASKS + ("[123]" if single else "0"))
    for name, parameter in module.named_parameters():
        wanted = OFFICIAL.search(name) is not None if frozen else True
        parameter.requires_grad_(wanted and unreached.search(name) is None)


def checkpoint_blocks(networks: Iterable[Any]) -> None:
    """Let the transformer blocks of some networks keep no activations (Chen et al. 2016), and draw the same dropout
    again when they are run a second time."""
    for network in networks:
        network.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
