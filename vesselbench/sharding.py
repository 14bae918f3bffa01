"""Parameters that ZeRO-3 has split over the ranks: seen whole, counted whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch


def is_sharded(parameter: torch.Tensor) -> bool:
    """Whether ZeRO-3 holds this parameter in parts (its own shape is then empty)."""
    return hasattr(parameter, "ds_id")


def whole_numel(parameter: torch.Tensor) -> int:
    """Elements of the whole parameter. ``numel()`` gives 0 for a partitioned one, the classic wrong model size."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


@contextmanager
def whole(parameters: Iterable[torch.nn.Parameter], write: bool = False) -> Iterator[None]:
    """Context in which partitioned parameters are full; does nothing to plain ones. Every rank must enter it.

    With `write`, what rank 0 writes into them is kept and sent to the others.
    """
    sharded = [parameter for parameter in parameters if is_sharded(parameter)]
    if not sharded:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(sharded, modifier_rank=0 if write else None):
        yield
