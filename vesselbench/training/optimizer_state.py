"""The optimizer's state by parameter name, whole: the same at every ZeRO stage and on every number of ranks.

DeepSpeed's own checkpoints are pickles of each rank's flat tensors; on another number of ranks they need a conversion
of their own ("universal checkpoint"), which restores trainable parameters only. Here each moment is put together by
name, as its parameter is shaped, and is cut again for whatever stage and ranks it is read on, bit for bit.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from vesselbench import distributed, sharding
from vesselbench.errors import UserError
from vesselbench.training.shares import Share, inner_optimizer, shares_of, swapped_in
from vesselbench.training.state import State, Whole

MASTER = "master"
COUNTERS = ("global_steps", "global_samples", "micro_steps")


class OptimizerState:
    """Moments, step counts, fp32 weights (where the model's are of lower precision), schedule and DeepSpeed's counters.

    A `Stateful`. The weights of the model itself are not in it: they are restored before.
    """

    def __init__(self, engine: Any, module: torch.nn.Module) -> None:
        self._engine, self._module = engine, module

    def state(self) -> State:
        shares = shares_of(self._engine, self._module)
        scalars, keys = self._scalars(shares), self._tensor_keys(shares)
        tensors: dict[str, torch.Tensor | Whole] = {}
        for name, share in shares.items():
            for key in (keys if name in scalars else []) + ([MASTER] if share.parameter.dtype != torch.float32 else []):
                tensors[f"{key}/{name}"] = Whole(share.shape, torch.float32, partial(self._fetch, share, key))
        schedule = self._engine.lr_scheduler.state_dict()
        values = {
            "scalars": scalars,
            "schedule": {key: value for key, value in schedule.items() if key != "lr_lambdas"},
            "counters": {name: int(getattr(self._engine, name)) for name in COUNTERS},
        }
        return State(values, tensors)

    def restore(self, state: State) -> None:
        """Raises UserError, with names, when the parameters are not those that were saved."""
        shares, scalars = shares_of(self._engine, self._module), state.values["scalars"]
        _refuse_others(set(scalars), set(shares))
        stored: dict[str, list[str]] = {}
        for key, name in (text.split("/", 1) for text in state.tensors):
            stored.setdefault(name, []).append(key)
        for name, share in shares.items():
            keys = stored.get(name, [])
            with swapped_in(self._engine, share, write=True):
                for key in keys:
                    self._put(share, key, state.tensor(f"{key}/{name}"))
                if MASTER not in keys:
                    _master_from_weights(share)
                for key, number in scalars.get(name, {}).items():
                    self._put_scalar(share, key, number)
        self._restore_schedule(dict(state.values["schedule"]))
        for name, number in state.values["counters"].items():
            setattr(self._engine, name, number)

    def _restore_schedule(self, values: dict[str, Any]) -> None:
        schedule = self._engine.lr_scheduler
        schedule.load_state_dict({**values, "lr_lambdas": [None] * len(schedule.lr_lambdas)})
        for group, rate in zip(schedule.optimizer.param_groups, schedule.get_last_lr(), strict=True):
            group["lr"] = rate

    def _moments(self, share: Share) -> dict[str, Any]:
        """What the optimizer keeps for the flat tensor of a share; empty before its first step."""
        return {} if share.flat is None else inner_optimizer(self._engine).state.get(share.flat, {})

    def _scalars(self, shares: dict[str, Share]) -> dict[str, dict[str, float]]:
        mine = {}
        for name, share in shares.items():
            moments = self._moments(share)
            if moments:
                mine[name] = {k: float(v) for k, v in moments.items() if not _is_moment(k, v, share)}
        merged: dict[str, dict[str, float]] = {}
        for theirs in distributed.gather_rows([mine]):
            merged |= theirs
        return {name: merged[name] for name in shares if name in merged}

    def _tensor_keys(self, shares: dict[str, Share]) -> list[str]:
        mine = {k for share in shares.values() for k, v in self._moments(share).items() if _is_moment(k, v, share)}
        return sorted(set(distributed.gather_rows(sorted(mine))))

    def _fetch(self, share: Share, key: str) -> torch.Tensor | None:
        with swapped_in(self._engine, share):
            mine = torch.empty(0)
            if share.flat is not None:
                mine = share.master() if key == MASTER else share.of(self._moments(share)[key])
            return share.gather(mine)

    def _put(self, share: Share, key: str, whole: torch.Tensor) -> None:
        if tuple(whole.shape) != share.shape:
            raise UserError(
                f"the checkpoint's {key} has shape {tuple(whole.shape)}, the model's parameter {share.shape}",
                "resume with the recipe that the run was started with",
            )
        if share.flat is None:
            return
        if key == MASTER:
            share.master().copy_(share.cut(whole))
            return
        moments = inner_optimizer(self._engine).state[share.flat]
        if key not in moments:
            moments[key] = torch.zeros_like(share.flat.data)
        share.of(moments[key]).copy_(share.cut(whole))

    def _put_scalar(self, share: Share, key: str, number: float) -> None:
        if share.flat is None:
            return
        moments = inner_optimizer(self._engine).state[share.flat]
        if torch.is_tensor(moments.get(key)):
            moments[key].fill_(number)
        else:
            moments[key] = torch.tensor(number, dtype=torch.float32)  # torch's own form before the first step


def _is_moment(key: str, value: Any, share: Share) -> bool:
    """Whether an entry is laid out as the flat tensor is (a parameter of no dimension has a step count like it)."""
    return torch.is_tensor(value) and share.flat is not None and value.shape == share.flat.shape and key != "step"


def _master_from_weights(share: Share) -> None:
    """Set the optimizer's fp32 weights to the model's, where they are apart. Every rank must call it."""
    if share.flat is share.parameter:
        return
    with sharding.whole([share.parameter]):
        if share.numel:
            share.master().copy_(share.cut(share.parameter.detach()))


def _refuse_others(stored: set[str], present: set[str]) -> None:
    if stored - present:
        others = sorted(stored - present)
        raise UserError(
            f"the checkpoint has state of {len(others)} parameters that are not trained now: {', '.join(others[:8])}",
            "resume with the recipe that the run was started with",
        )
