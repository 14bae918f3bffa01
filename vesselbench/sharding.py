"""Parameters that ZeRO-3 has split over the ranks: split one at a time, seen whole, counted whole."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

FREED = 64 * 2**20
"""Bytes of tensors after whose splitting freed memory is returned."""
Settle = Callable[[torch.nn.Parameter], None]
"""What is done with a parameter as soon as it has its value."""


def is_sharded(parameter: torch.Tensor) -> bool:
    """Whether ZeRO-3 holds this parameter in parts (its own shape is then empty)."""
    return hasattr(parameter, "ds_id")


def whole_numel(parameter: torch.Tensor) -> int:
    """Elements of the whole parameter. ``numel()`` gives 0 for a partitioned one, the classic wrong model size."""
    return int(getattr(parameter, "ds_numel", parameter.numel()))


def whole_shape(parameter: torch.Tensor) -> tuple[int, ...]:
    """Shape of the whole parameter; a partitioned one is an empty vector itself."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))


def settle_plainly(parameter: torch.nn.Parameter) -> None:
    """Leave a parameter whole."""


def splitter(settings: dict[str, Any], dtype: torch.dtype | None) -> Settle:
    """A `Settle` that splits each parameter over the ranks, in place: rank 0's values, cast to `dtype` if one is given.

    `settings` is the DeepSpeed JSON of the engine that will get the module. Every rank must settle the same parameters
    in the same order. (DeepSpeed's own way, ``zero.Init`` around the constructor, fails with modules of transformers.)
    """
    import deepspeed

    split: list[Any] = []
    freed = 0

    def settle(parameter: torch.nn.Parameter) -> None:
        nonlocal freed
        if dtype is not None:
            parameter.data = parameter.data.to(dtype)
        freed += parameter.nbytes
        if freed > FREED:
            _return_freed_memory()
            freed = 0
        if split:  # a split parameter knows how the next one is split; reading the settings again takes longer
            split[0].convert_to_zero_parameters(param_list=[parameter])
            return
        deepspeed.zero.Init(module=torch.nn.ParameterList([parameter]), config_dict_or_path=settings, dtype=dtype)
        split.append(parameter)

    return settle


def _return_freed_memory() -> None:
    """Give pages that were freed between allocations in use back to the system (glibc; nothing elsewhere).

    Whole tensors that come and go between the shares that stay leave holes: a third of the share again, measured.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


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
