"""Blocks that keep no activations: the same numbers from less memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vesselbench import Batch, Example
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.model import Sa2VAModule

LORA = {"r": 4, "alpha": 8, "dropout": 0.3}


def step(module: Sa2VAModule, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """Loss, gradients and the bytes that the forward pass keeps for the backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    torch.manual_seed(5)  # dropout is on: it must be drawn again alike
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = module.train().loss(batch)["loss"]
    foreseen = sum(kept.values())
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in module.named_parameters() if p.grad is not None}, foreseen


@pytest.mark.parametrize("freeze", ["official", "none"])
def test_checkpointing_changes_no_number_and_keeps_less(
    make_batch: Callable[..., Batch],
    make_example: Callable[..., Example],
    make_config: Callable[..., Sa2VAConfig],
    make_module: Callable[..., Sa2VAModule],
    freeze: str,
) -> None:
    batch = make_batch([make_example(0), make_example(1, mask="empty")])
    results = [
        step(make_module(make_config(freeze=freeze, lora=LORA, checkpointing=on)), batch) for on in (False, True)
    ]
    (plain, gradients, much), (again, same, little) = results
    assert torch.equal(plain, again)
    assert gradients.keys() == same.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, same[name], rtol=1e-5, atol=1e-6)
    assert little < {"official": 0.8, "none": 0.95}[freeze] * much  # SAM keeps what it needs
