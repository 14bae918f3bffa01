"""A moving average of the trained weights, held in shares as the optimizer's are, and shown in place of the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist

from vesselbench import distributed, sharding
from vesselbench.jobs import StoppedError
from vesselbench.training.shares import Share, shares_of
from vesselbench.training.state import State, Whole


class MovingAverage:
    """``average <- d * average + (1 - d) * weights`` after every step, in fp32 (Polyak & Juditsky 1992; as used by
    Tarvainen & Valpola 2017), with ``d = min(decay, (1 + n) / (10 + n))`` at update n, so that the first steps weigh
    little.

    Each rank averages what its optimizer holds: at ZeRO stage 1 to 3 its share, at stage 0 all. Buffers are not
    averaged. A `Stateful`, to be registered after the optimizer: it keeps the weights as well, because a checkpoint's
    weights are the average.
    """

    def __init__(self, engine: Any, module: torch.nn.Module, decay: float) -> None:
        self._engine, self._decay, self._updates = engine, decay, 0
        self._shares = shares_of(engine, module)
        self._averages = {name: share.master().detach().clone() for name, share in self._shares.items()}
        self._weights: dict[str, torch.Tensor] | None = None
        """Where the optimizer moves the model's own parameters: what they were before the average was shown."""

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of the step just done in."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        for name, share in self._shares.items():
            self._averages[name].lerp_(share.master(), 1 - decay)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Context in which the model has the averaged weights. Every rank must enter it; steps are for after it.

        After an error the weights are not put back, for which this rank would wait for the others; after a request to
        stop, which all ranks raise together, they are.
        """
        aliased = {name: share for name, share in self._shares.items() if share.flat is share.parameter}
        self._weights = {name: share.master().clone() for name, share in aliased.items()}
        self._put(self._averages)
        try:
            yield
        except StoppedError:
            self._hide()
            raise
        self._hide()

    def _hide(self) -> None:
        weights, self._weights = self._weights or {}, None
        self._put({name: weights.get(name, share.master()) for name, share in self._shares.items()})

    def state(self) -> State:
        tensors: dict[str, torch.Tensor | Whole] = {}
        for name, share in self._shares.items():
            live = (self._weights or {}).get(name, share.master())
            for key, mine in (("average", self._averages[name]), ("weights", live)):
                tensors[f"{key}/{name}"] = Whole(share.shape, torch.float32, partial(share.gather, mine))
        return State({"updates": self._updates}, tensors)

    @torch.no_grad()
    def restore(self, state: State) -> None:
        self._updates = int(state.values["updates"])
        for name, share in self._shares.items():
            self._averages[name].copy_(share.cut(state.tensor(f"average/{name}")))
            share.master().copy_(share.cut(state.tensor(f"weights/{name}")))
        self._put({name: share.master() for name, share in self._shares.items()})

    @torch.no_grad()
    def _put(self, values: Mapping[str, torch.Tensor]) -> None:
        """Give the model's parameters these values, of which each rank has its share."""
        gathered: list[Any] = [share.parameter for share in self._shares.values() if _is_gathered(share.parameter)]
        for parameter in gathered:  # small ones that ZeRO-3 keeps whole
            parameter.partition([parameter], has_been_updated=False)
        for name, share in self._shares.items():
            if sharding.is_sharded(share.parameter):
                split: Any = share.parameter
                split.ds_tensor.data.view(-1).narrow(0, 0, share.numel).copy_(values[name])
            elif share.everywhere:
                share.parameter.data.copy_(values[name].view(share.shape))
            else:
                share.parameter.data.copy_(_united(share, values[name]))
        if gathered:
            gathered[0].all_gather(gathered)


def _is_gathered(parameter: Any) -> bool:
    return sharding.is_sharded(parameter) and parameter.ds_status.name == "AVAILABLE"


def _united(share: Share, mine: torch.Tensor) -> torch.Tensor:
    """The whole parameter from every rank's part of it, on every rank."""
    buffer = torch.zeros(torch.Size(share.shape).numel(), dtype=torch.float32, device=distributed.talking_device())
    buffer.narrow(0, share.start, share.numel).copy_(mine)
    if distributed.world() > 1:
        dist.all_reduce(buffer.view(torch.int32))  # bits are added to zeros: a sum of floats would lose the sign of -0
    return buffer.view(share.shape)
