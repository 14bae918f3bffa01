"""Which weights ZeRO-3 gathers in a pass: those of the layers that are called, and of those that get a gradient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree

from vesselbench.training.leaves import outermost


@dataclass
class Gathered:
    """Parameters by identity and size, as the forward pass and the backward pass need them."""

    in_forward: dict[int, int] = field(default_factory=dict)
    in_backward: dict[int, int] = field(default_factory=dict)

    @property
    def sizes(self) -> tuple[int, int]:
        """Parameters of the forward and of the backward pass."""
        return sum(self.in_forward.values()), sum(self.in_backward.values())


@contextmanager
def noting_gathers(module: torch.nn.Module, leaves: Iterable[type]) -> Iterator[Gathered]:
    """Context of a forward pass: DeepSpeed gathers the own parameters of each module that is called, of a leaf
    (`training.leaves`) all, and again for the backward pass where an output of it has a gradient."""
    found, kinds = Gathered(), tuple(leaves)
    whole = outermost(module, kinds)
    inside = {id(part) for leaf in whole for part in leaf.modules()}
    parts = {id(leaf): list(leaf.parameters()) for leaf in whole}
    parts |= {id(part): list(part.parameters(recurse=False)) for part in module.modules() if id(part) not in inside}

    def note(part: torch.nn.Module, _: Any, output: Any) -> None:
        sizes = {id(parameter): parameter.numel() for parameter in parts[id(part)]}
        found.in_forward.update(sizes)
        tensors = (value for value in _pytree.tree_leaves(output) if isinstance(value, torch.Tensor))
        if any(tensor.requires_grad for tensor in tensors):
            found.in_backward.update(sizes)

    hooks = [part.register_forward_hook(note) for part in module.modules() if parts.get(id(part))]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
