"""What this rank's optimizer holds of each trainable parameter, at every ZeRO stage.

DeepSpeed lays the parameters of a group end to end in flat fp32 tensors and gives each rank a part of them (ZeRO:
Rajbhandari et al. 2020); the torch optimizer inside knows the flat tensors only. At stage 0 in fp32 the parameter is
its own flat tensor, in bf16 it has an fp32 copy of its own. The private names of DeepSpeed that are read here are
guarded by tests/unit/training/test_shares.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from vesselbench import distributed, sharding


@dataclass(frozen=True)
class Share:
    """Elements ``start .. start + numel`` of a (flattened) parameter lie at ``offset .. offset + numel`` of `flat`.

    `flat` is None where this rank holds nothing of the parameter; `numel` is 0 then.
    """

    parameter: torch.nn.Parameter
    flat: torch.Tensor | None
    offset: int
    start: int
    numel: int
    everywhere: bool = False
    """Whether each rank holds the whole of it (stage 0)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole parameter."""
        return sharding.whole_shape(self.parameter)

    def of(self, flat: torch.Tensor) -> torch.Tensor:
        """This rank's elements in a tensor that is laid out as `flat` is; a view."""
        return flat.detach().reshape(-1).narrow(0, self.offset, self.numel)

    def master(self) -> torch.Tensor:
        """This rank's elements of the fp32 weights that the optimizer moves; empty where it holds none."""
        return torch.empty(0) if self.flat is None else self.of(self.flat.data)

    def cut(self, whole: torch.Tensor) -> torch.Tensor:
        """This rank's elements of a whole parameter."""
        return whole.reshape(-1).narrow(0, self.start, self.numel)

    def gather(self, mine: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor | None:
        """The whole tensor, on rank 0, from every rank's elements `mine` (None elsewhere). All ranks must call it."""
        total = torch.Size(self.shape).numel()
        if self.numel == total and distributed.world() == 1:
            return mine.detach().reshape(self.shape)
        buffer = torch.zeros(total, dtype=dtype, device=distributed.talking_device())
        if self.numel and (distributed.rank() == 0 or not self.everywhere):
            buffer.narrow(0, self.start, self.numel).copy_(mine)
        if not self.everywhere:
            # the bits are added, as whole numbers to zeros: a sum of floats would turn -0.0 into 0.0
            dist.reduce(buffer.view(torch.int32), dst=0)
        return buffer.reshape(self.shape) if distributed.rank() == 0 else None


def shares_of(engine: Any, module: torch.nn.Module) -> dict[str, Share]:
    """The share of every trainable parameter, by name, in the module's order. `engine` is DeepSpeed's."""
    copies = _copies(engine.optimizer)
    found = {n: _share(engine, p, copies) for n, p in module.named_parameters() if p.requires_grad}
    held = {id(p) for group in inner_optimizer(engine).param_groups for p in group["params"]}
    strange = [n for n, s in found.items() if s.everywhere and id(s.flat) not in held]
    if strange:
        raise RuntimeError(
            f"the optimizer does not hold {strange[0]} itself: unknown layout of {type(engine.optimizer)}"
        )
    return found


def inner_optimizer(engine: Any) -> torch.optim.Optimizer:
    """The torch optimizer inside of DeepSpeed's."""
    inner: torch.optim.Optimizer = getattr(engine.optimizer, "optimizer", engine.optimizer)
    return inner


def _copies(optimizer: Any) -> dict[int, torch.Tensor]:
    """The fp32 copy of each parameter, by its id, where DeepSpeed keeps one by one (stage 0 in bf16)."""
    return {id(low): high for low, high in _pairs(optimizer)}


def _pairs(optimizer: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Each parameter with its fp32 copy, where DeepSpeed keeps one by one."""
    if not hasattr(optimizer, "fp16_groups") or not hasattr(optimizer, "fp32_groups"):
        return []
    groups = zip(optimizer.fp16_groups, optimizer.fp32_groups, strict=True)
    return [pair for lows, highs in groups for pair in zip(lows, highs, strict=True)]


def undo_first_step(engine: Any) -> None:
    """Undo the step that DeepSpeed makes over gradients of zero at stage 0 in bf16, to have the moments allocated.

    It counts as a step of Adam's, whose first real update is then 0.744 of what it should be (betas 0.9 and 0.999, by
    the corrections of its bias), and the weights decay once.
    """
    pairs = _pairs(engine.optimizer)
    if pairs:
        inner_optimizer(engine).state.clear()
    for low, high in pairs:
        high.data.copy_(low.data)
        high.grad = None


def _share(engine: Any, parameter: torch.nn.Parameter, copies: dict[int, torch.Tensor]) -> Share:
    size = sharding.whole_numel(parameter)
    if sharding.is_sharded(parameter):
        split: Any = parameter
        group, offset, numel = engine.optimizer.grad_position[engine.optimizer.get_param_id(parameter)]
        start = min(size, split.ds_tensor.ds_numel * distributed.rank())
        flat = engine.optimizer.fp32_partitioned_groups_flat[group]
        return Share(parameter, flat, int(offset), start, max(0, min(int(numel), size - start)))  # the end is padding
    if not hasattr(parameter, "_hp_mapping"):
        return Share(parameter, copies.get(id(parameter), parameter), 0, 0, size, everywhere=True)
    mapping = parameter._hp_mapping
    if mapping is None:
        return Share(parameter, None, 0, 0, 0)
    held, within = mapping.hp_fragment_address, mapping.lp_fragment_address
    (flat,) = inner_optimizer(engine).param_groups[mapping.param_group_index]["params"]
    return Share(parameter, flat, int(held.start), int(within.start), int(held.numel))


def is_swapped(engine: Any) -> bool:
    """Whether the optimizer's tensors are in files (NVMe) between the steps."""
    return bool(getattr(engine.optimizer, "swap_optimizer", False))


def local_gradient(engine: Any, share: Share) -> torch.Tensor:
    """This rank's elements of a gradient, averaged over the ranks; between the last backward and the step.

    Zeros where a parameter had none; empty where this rank holds nothing of it.
    """
    parameter: Any = share.parameter
    if not share.numel:
        return torch.empty(0)
    if sharding.is_sharded(parameter):
        part: torch.Tensor = engine.optimizer.get_local_fp32_grad_for_param(parameter)
        return part.detach().reshape(-1)[: share.numel]
    if share.everywhere:
        return torch.zeros(share.numel) if parameter.grad is None else parameter.grad.detach().reshape(-1)
    held: torch.Tensor = (
        parameter._hp_mapping.get_lp_grad_fragment(parameter._index_in_param_group).detach().reshape(-1)
    )
    return held if held.numel() == share.numel else share.cut(held)


@contextmanager
def swapped_in(engine: Any, share: Share, write: bool = False) -> Iterator[None]:
    """Context in which the optimizer's tensors of a share are in memory; does nothing unless they are on NVMe."""
    zero = engine.optimizer
    group = None
    if is_swapped(engine) and sharding.is_sharded(share.parameter):
        found = zero.grad_position[zero.get_param_id(share.parameter)][0]
        group = found if zero._swappable_optimizer_subgroup(found) else None
    if group is None:
        yield
        return
    zero._optimizer_states_and_gradient_swap_in(group)
    yield
    leave: Callable[[int], None] = zero._optimizer_states_and_gradient_swap_out if write else zero._release_swap_buffers
    leave(group)
