"""Whether a training does what it should: gradients reach every trained parameter, are finite, and move it.

Everything is computed from what each rank holds, by name, and added up in one collective, at any ZeRO stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist

from vesselbench import distributed
from vesselbench.errors import UserError
from vesselbench.training.base import bit_sum
from vesselbench.training.shares import Share, inner_optimizer, is_swapped, local_gradient, shares_of

SHOWN = 8
"""Names in a message."""
AT_SPEED = 0.1
"""Share of its peak from which on the learning rate must move every parameter. At the start of a long warm-up, and at
the end of a long cosine, steps are smaller than the last digit of most weights, and nothing is wrong."""


class NonFiniteError(UserError):
    """A loss or a gradient is not a finite number. `record` says where, for a file in the run."""

    def __init__(self, message: str, hint: str, record: Mapping[str, Any]) -> None:
        super().__init__(message, hint)
        self.record = dict(record)


class Integrity:
    """Watches the parameters of one training.

    `part_of` names the part of the model that a parameter belongs to. After `after` steps of this process (the last
    one, if there are fewer; never with 0, and never after a single step, in which one factor of a low-rank adapter
    rightly has no gradient) each parameter must have had a gradient other than zero. After as many steps whose learning
    rate was at least `AT_SPEED` of its peak (or the last one likewise) its bits must have changed. Those with gradients
    below AdamW's eps are only told, if others have moved.

    `alternatives`: groups of name prefixes, of which the loss may choose one and leave the others idle. In each group
    the parameters of at least one prefix must all pass; those of the others may fail, and are told. Raises UserError
    for a prefix that no trained parameter has.
    """

    def __init__(
        self,
        engine: Any,
        module: torch.nn.Module,
        part_of: Callable[[str], str],
        after: int,
        alternatives: Sequence[Sequence[str]] = (),
    ) -> None:
        self._engine, self._after, self._steps, self._at_speed = engine, after, 0, 0
        self._shares = {} if is_swapped(engine) else shares_of(engine, module)
        self._parts = [part_of(name) for name in self._shares]
        self._alternatives = [self._members(group) for group in alternatives] if self._shares else []
        self._first = self._bits() if after else None
        self._weights: list[torch.Tensor] = []
        self._gradients: torch.Tensor | None = None

    def before_step(self) -> None:
        """Between backward and the optimizer, where the log is due: note gradients and weights.

        Keeps a copy of this rank's share of the trained weights until `meters`. Raises NonFiniteError on every rank,
        before the weights are touched, when a gradient is not finite.
        """
        if not self._shares:  # the optimizer's state is in files
            return
        self._gradients = self._squares([local_gradient(self._engine, share) for share in self._shares.values()])
        strange = [n for n, square in zip(self._shares, self._gradients.tolist(), strict=True) if not _finite(square)]
        if strange:
            raise NonFiniteError(
                f"the gradient of {len(strange)} parameters is not finite: {_some(strange)}",
                "lower train.lr or set train.clip; the weights are those of the step before",
                {"parameters": strange},
            )
        self._weights = [share.master().clone() for share in self._shares.values()]

    def meters(self) -> dict[str, float]:
        """``grad_norm`` before clipping, in all and by part, and ``update_ratio`` by part: norm of the step's change
        over the norm of the weights. Empty where `before_step` was not called, or the optimizer's state is on NVMe."""
        if self._gradients is None or not self._shares:
            return {}
        now = [share.master() for share in self._shares.values()]
        changes = self._squares([new - old for new, old in zip(now, self._weights, strict=True)])
        sizes = self._squares(self._weights)
        values = {"grad_norm": float(self._gradients.sum().sqrt())}
        for part in dict.fromkeys(self._parts):
            of = torch.tensor([name == part for name in self._parts])
            values[f"grad_norm/{part}"] = float(self._gradients[of].sum().sqrt())
            size = float(sizes[of].sum().sqrt())
            values[f"update_ratio/{part}"] = float(changes[of].sum().sqrt()) / size if size else 0.0
        self._weights, self._gradients = [], None
        return values

    def after_step(self, last: bool, speed: float) -> list[str]:
        """After each step, with whether it is the last and its learning rate as a share of the peak: each of the two
        checks once, when it is due. Returns what is to be told of idle alternatives. Raises UserError, with names, on
        every rank."""
        self._steps += 1
        self._at_speed += speed >= AT_SPEED
        told: list[str] = []
        if not self._after or not self._shares:
            return told
        if self._is_due(self._steps, last):
            reached = self._any(torch.tensor([self._was_reached(share) for share in self._shares.values()]))
            told += self._refuse("had no gradient", reached, f"{self._steps} steps")
        if self._first is not None and self._is_due(self._at_speed, last):
            moved = self._any(self._bits() != self._first)
            self._first = None
            felt = self._any(torch.tensor([self._is_felt(share) for share in self._shares.values()]))
            felt = felt if any(moved) else [True] * len(felt)  # where nothing moves, nothing is excused
            faint = [name for name, m, f in zip(self._shares, moved, felt, strict=True) if not m and not f]
            if faint:
                told.append(f"{len(faint)} parameters have not moved, for their gradients are rounding: {_some(faint)}")
            speedy = f"{self._at_speed} steps at {AT_SPEED:.0%} of the peak rate or more"
            told += self._refuse("have not moved", [m or not f for m, f in zip(moved, felt, strict=True)], speedy)
        return told

    def _is_due(self, count: int, last: bool) -> bool:
        return count > 1 and (count == self._after or (last and count < self._after))

    def _members(self, group: Sequence[str]) -> list[set[str]]:
        """The trained parameters of each prefix of a group."""
        members = [{name for name in self._shares if name.startswith(prefix)} for prefix in group]
        empty = [prefix for prefix, names in zip(group, members, strict=True) if not names]
        if empty:
            raise UserError(
                f"the model declares alternatives without any trained parameter: {_some(empty)}",
                "mend `alternatives` of the model's plugin, or what it freezes",
            )
        return members

    def _refuse(self, what: str, flags: list[bool], after: str) -> list[str]:
        """UserError with the names of the parameters whose flag is not set and may not be; a line on those that may."""
        names = [name for name, flag in zip(self._shares, flags, strict=True) if not flag]
        chosen = [group for group in self._alternatives if any(part.isdisjoint(names) for part in group)]
        idle = [name for name in names if any(name in part for group in chosen for part in group)]
        refused = [name for name in names if name not in idle]
        if refused:
            raise UserError(
                f"of {len(self._shares)} trained parameters, after {after}, {len(refused)} {what}: {_some(refused)}",
                "freeze what the loss does not reach, raise a learning rate that is too small for any change, or mend "
                "the model; train.check_after=0 trains it as it is",
            )
        return [f"{len(idle)} parameters {what} after {after}, as alternatives may: {_some(idle)}"] if idle else []

    def _bits(self) -> torch.Tensor:
        sums = [bit_sum(share.master()).cpu() for share in self._shares.values()]
        return torch.stack(sums) if sums else torch.zeros(0, dtype=torch.int64)

    def _was_reached(self, share: Share) -> bool:
        """Whether any moment of the optimizer is not zero; also where it keeps none (it is seen by its movement)."""
        if share.flat is None:
            return False
        moments = self._moments(share)
        return not moments or any(bool(moment.any()) for moment in moments.values())

    def _is_felt(self, share: Share) -> bool:
        """Whether its mean gradient is at least AdamW's eps somewhere, or the optimizer has no eps.

        Below, steps shrink with the gradient, down to less than the last digit. So it is with what the loss does not
        depend on but for rounding: the bias of an attention's keys, which the softmax cancels, gets 1e-10 or so.
        """
        eps = inner_optimizer(self._engine).param_groups[0].get("eps")
        mean = self._moments(share).get("exp_avg")
        if eps is None or mean is None:
            return share.flat is not None
        return bool((mean.abs() >= eps).any())

    def _moments(self, share: Share) -> dict[str, torch.Tensor]:
        """The optimizer's moments of this rank's part of a parameter, by torch's names; empty where it keeps none."""
        if share.flat is None:
            return {}
        state, shape = inner_optimizer(self._engine).state.get(share.flat, {}), share.flat.shape
        held = {key: value for key, value in state.items() if torch.is_tensor(value) and value.shape == shape}
        return {key: share.of(value) for key, value in held.items() if value.numel() > 1 or share.flat.dim()}

    def _squares(self, mine: list[torch.Tensor]) -> torch.Tensor:
        """Sum of squares of each parameter's tensor over all ranks, float64."""
        sums = [tensor.double().square().sum().cpu() for tensor in mine]
        total = torch.stack(sums) if sums else torch.zeros(0, dtype=torch.float64)
        if distributed.world() > 1:
            everywhere = torch.tensor([share.everywhere for share in self._shares.values()])
            total[everywhere & (distributed.rank() != 0)] = 0
            total = total.to(distributed.talking_device())
            dist.all_reduce(total)
        return total.cpu()

    def _any(self, mine: torch.Tensor) -> list[bool]:
        """Whether a flag is set on any rank."""
        flags = mine.to(torch.int32).to(distributed.talking_device())
        if distributed.world() > 1:
            dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return [bool(flag) for flag in flags.tolist()]


def child_of(name: str) -> str:
    """The child of the module that a parameter belongs to."""
    return name.split(".", 1)[0]


def _finite(value: float) -> bool:
    return value - value == 0.0


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
