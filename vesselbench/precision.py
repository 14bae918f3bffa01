"""In which arithmetic a model is trained, and afterwards predicts."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch.nn.modules.batchnorm import _BatchNorm

Arithmetic = Literal["fp32", "bf16", "autocast"]
"""bf16: weights, buffers and activations in bfloat16. autocast: weights and statistics in float32, convolutions and
matrix products in bfloat16."""


def arithmetic_of(module: torch.nn.Module, precision: Arithmetic) -> Arithmetic:
    """What ``train.precision`` comes to for a model: bf16 becomes autocast where there is batch normalisation.

    Its running statistics stay float32 beside weights in bfloat16, which torch refuses; in bfloat16 they would lose
    most of their updates.
    """
    return "autocast" if precision == "bf16" and batch_norms(module) else precision


def batch_norms(module: torch.nn.Module) -> list[str]:
    """Names of the layers of batch normalisation."""
    return [name for name, part in module.named_modules() if isinstance(part, _BatchNorm)]


def weight_type(arithmetic: Arithmetic) -> torch.dtype:
    """The type in which weights and inputs are held."""
    return torch.bfloat16 if arithmetic == "bf16" else torch.float32


def casting(arithmetic: Arithmetic, device: torch.device) -> AbstractContextManager[Any]:
    """Context in which a plain module computes in this arithmetic (the training engine sees to it by itself)."""
    return torch.autocast(device.type, torch.bfloat16) if arithmetic == "autocast" else nullcontext()


def arithmetic_lines(precision: Arithmetic, arithmetic: Arithmetic) -> list[str]:
    """A line when a model is not trained in the arithmetic that its recipe names."""
    if precision == arithmetic:
        return []
    return [f"train.precision {precision}: batch normalisation needs float32 statistics, so it is {arithmetic} here"]
