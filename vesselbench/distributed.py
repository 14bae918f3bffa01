"""Rank, world and the few collectives that the road needs; on one process each is the identity (torch only)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from vesselbench.errors import UserError
from vesselbench.jobs import is_rank

VALUE = TypeVar("VALUE")


def connect(device: torch.device, timeout_minutes: float) -> None:
    """Join the process group that the environment describes; alone, a group of one that opens no port.

    Every wait in it ends with an error after `timeout_minutes`. A process that is alone keeps its group for later
    trainings: DeepSpeed remembers the first one and would not work with another.
    """
    if dist.is_initialized() and not is_rank():
        return
    backend = "nccl" if device.type == "cuda" else "gloo"
    timeout = timedelta(minutes=timeout_minutes)
    if is_rank():
        dist.init_process_group(backend, timeout=timeout)
    else:
        dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1, timeout=timeout)


def disconnect() -> None:
    """Leave the group of a launched job, together with the others."""
    if dist.is_initialized() and is_rank():
        barrier()  # a rank that tears down while another still talks makes that one fail
        dist.destroy_process_group()


def rank() -> int:
    """This process in the group; 0 outside of one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Processes in the group; 1 outside of one."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_world() -> int:
    """Processes on this machine: what its cores are shared between."""
    given = os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("LOCAL_SIZE")  # torchrun's and deepspeed's name
    return int(given or 1) if is_rank() else 1


def mean_over_ranks(values: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Mean of each value over the ranks, in one collective. The keys must be the same on every rank."""
    names = sorted(values)
    stacked = torch.stack([values[name].detach().float().reshape(()) for name in names]).to(talking_device())
    if world() > 1:
        dist.all_reduce(stacked)
        stacked /= world()
    return dict(zip(names, stacked.tolist(), strict=True))


def gather_rows(rows: list[VALUE]) -> list[VALUE]:
    """The rows of all ranks, in rank order, on every rank."""
    if world() == 1:
        return rows
    parts: list[list[VALUE]] = [[] for _ in range(world())]
    dist.all_gather_object(parts, rows)
    return [row for part in parts for row in part]


def from_first(value: VALUE) -> VALUE:
    """Rank 0's value on every rank."""
    if world() == 1:
        return value
    box: list[VALUE] = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def on_first(action: Callable[[], VALUE]) -> VALUE:
    """What `action` gives on rank 0, the only one to run it, on every rank; a UserError of it is raised on all.

    (A rank that fails alone would leave the others waiting, or failing with a message about the network.)
    """
    if world() == 1:
        return action()
    outcome: tuple[VALUE | None, tuple[str, str] | None] = (None, None)
    if rank() == 0:
        try:
            outcome = (action(), None)
        except UserError as error:
            outcome = (None, (error.message, error.hint))
    value, failure = from_first(outcome)
    if failure is not None:
        shared = UserError(*failure)
        shared.everywhere = True
        raise shared
    return cast(VALUE, value)


def agree(flag: bool) -> bool:
    """Whether the flag is set on ANY rank: so that all stop together and none waits for ever."""
    if world() == 1:
        return flag
    tensor = torch.tensor([int(flag)], device=talking_device())
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return bool(tensor.item())


def talking_device() -> str:
    """Where a tensor must lie to be sent: NCCL knows CUDA tensors only."""
    return "cuda" if dist.is_initialized() and dist.get_backend() == "nccl" else "cpu"


def barrier() -> None:
    """Wait for the others."""
    if world() > 1:
        dist.barrier()
