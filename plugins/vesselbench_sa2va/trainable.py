"""What is trained: `requires_grad` of every parameter, which is also what a checkpoint holds."""

from __future__ import annotations

import re

from torch import nn

OFFICIAL = re.compile(
    r"(^|\.)lora_|\.modules_to_save\.|^new_embedding\.|^new_head\.|\.multi_modal_projector\.|^text_hidden_fcs\."
    r"|^sam\.mask_decoder\."
)
"""Trained in the official fine-tuning: adapters, new tokens, projector, text_hidden_fcs and the mask decoder."""

UNREACHED = re.compile(
    r"^sam\.prompt_encoder\.(mask_embed|point_embed)\."
    r"|^sam\.mask_decoder\.(pred_obj_score_head|output_hypernetworks_mlps\.0)\."
)
"""Parts of SAM 2 that no loss reaches when a [SEG] state is the only prompt and mask tokens 1 to 3 are used."""


def set_trainable(module: nn.Module, frozen: bool) -> None:
    """Set `requires_grad` everywhere; with `frozen` only what the official fine-tuning trains, else everything.

    What no loss reaches is frozen in either case: it would only decay.
    """
    for name, parameter in module.named_parameters():
        wanted = OFFICIAL.search(name) is not None if frozen else True
        parameter.requires_grad_(wanted and UNREACHED.search(name) is None)
