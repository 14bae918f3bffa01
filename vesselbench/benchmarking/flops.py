"""Floating-point operations by torch's own counter, with the attention kernels of the processor, which it lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, flop_registry

ATEN = torch.ops.aten
ON_CPU = {
    ATEN._scaled_dot_product_flash_attention_for_cpu: ATEN._scaled_dot_product_flash_attention,
    ATEN._scaled_dot_product_flash_attention_for_cpu_backward: ATEN._scaled_dot_product_flash_attention_backward,
}
"""Attention on the processor -> the one of CUDA by whose formula it is counted. Their arguments begin alike, and the
formulas read nothing but shapes (a causal mask halves nothing)."""


def _formula_of(operator: Any) -> Callable[..., int]:
    known: Callable[..., int] = flop_registry[operator]

    def formula(*arguments: Any, **named: Any) -> int:
        return known(*arguments, **named)

    formula.__dict__["_get_raw"] = True  # it takes tensors, as the known one does
    return formula


def flop_counter() -> FlopCounterMode:
    """A context that counts convolutions, matrix products and attention, 2 for a multiplication and an addition.

    Norms, activations, resizing and the optimizer are not counted: they are no matrix arithmetic.
    """
    return FlopCounterMode(display=False, custom_mapping={here: _formula_of(there) for here, there in ON_CPU.items()})


def count_flops(act: Callable[[], object]) -> int:
    """What one call computes, forward and backward."""
    with flop_counter() as counter:
        act()
    return int(counter.get_total_flops())
