"""The frozen weights that a training stands on. A checkpoint does not hold them: they are recognised by their bits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from vesselbench import distributed, sharding
from vesselbench.errors import UserError

CHUNK = 1 << 24
"""Elements added up at a time: the sum needs 8 bytes for each."""


def base_bits(module: torch.nn.Module) -> str:
    """SHA-256 over name, shape, type and sum of bits of every frozen parameter: equal on any number of ranks and stage.

    (The sum, of the elements read as whole numbers, needs no gathering: each rank adds up its share. It tells apart
    weights that differ, not weights that somebody has forged.) Every rank must call it.
    """
    frozen = [(name, parameter) for name, parameter in module.named_parameters() if not parameter.requires_grad]
    if not frozen:
        return ""
    sums = torch.stack([_own_sum(parameter) for _, parameter in frozen])
    shared = torch.tensor([sharding.is_sharded(parameter) for _, parameter in frozen])
    if distributed.world() > 1:
        sums[~shared & (distributed.rank() != 0)] = 0  # whole on every rank: counted once
        sums = sums.to(distributed.talking_device())
        dist.all_reduce(sums)
    digest = hashlib.sha256()
    for (name, parameter), total in zip(frozen, sums.tolist(), strict=True):
        digest.update(f"{name} {sharding.whole_shape(parameter)} {parameter.dtype} {total}\n".encode())
    return digest.hexdigest()


def check_base_bits(folder: Path, manifest: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    """UserError when the frozen weights are not those that a checkpoint was trained on."""
    then, now = manifest.get("base", {}).get("bits"), base["bits"]
    if then != now:
        raise UserError(
            f"{folder} was trained on another base: the hash of its frozen weights is {str(then)[:12]}, now {now[:12]}",
            "restore the base weights (model.weights), or train again",
        )


def _own_sum(parameter: torch.nn.Parameter) -> torch.Tensor:
    return bit_sum(own_elements(parameter)).cpu()


def own_elements(parameter: torch.nn.Parameter) -> torch.Tensor:
    """The elements of a parameter that this rank holds, flat: all of them, or its part under ZeRO-3 without padding."""
    if not sharding.is_sharded(parameter):
        return parameter.detach().reshape(-1)
    part = parameter.ds_tensor  # type: ignore[attr-defined]
    left = sharding.whole_numel(parameter) - part.ds_numel * distributed.rank()
    flat: torch.Tensor = part.detach().reshape(-1)
    return flat[: max(0, min(flat.numel(), left))]


def bit_sum(flat: torch.Tensor) -> torch.Tensor:
    """Sum of the elements, each read as a whole number of its bits; int64, wraps around. 0 for no elements."""
    words = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[flat.element_size()]
    pieces = torch.split(flat.contiguous().view(words), CHUNK)
    return sum(
        (piece.sum(dtype=torch.int64) for piece in pieces), torch.zeros((), dtype=torch.int64, device=flat.device)
    )
