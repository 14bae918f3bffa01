"""Everything of a training that has state, saved and restored through one small protocol.

The contract
------------
Whatever must be as it was for the next step to be the same step after a resume is a `Stateful`: it has ``state()``,
which gives a `State`, and ``restore(state)``, which takes it back. It is registered once, before the first step::

    states.register("early_stopping", early_stopping)           # the same on every rank: rank 0's is stored
    states.register("rng", RandomState(device), per_rank=True)  # each rank's own

A `State` keeps plain values and tensors apart: ``values`` is JSON (str, int, finite float, bool, None, lists, mappings
with str keys; floats come back bit for bit), ``tensors`` are named tensors. They are stored as
``checkpoints/<step>/state.json`` and ``checkpoints/<step>/state-<name>.safetensors``; nothing is pickled.

- ``state()`` is called on EVERY rank, at the boundary of an optimizer step, also where only rank 0's is kept: it may
  use collectives, in the same order everywhere. It must change nothing, no random number generator either.
- A tensor that no rank holds whole, or that is too large to hold twice, is given as a `Whole`: its shape, dtype and
  ``fetch``, which every rank calls in turn and which gives the tensor on rank 0. So the store never holds more than one
  such tensor. `shares.py` makes them from what DeepSpeed has split.
- ``restore(state)`` is called on every rank, right before the first step after a resume and after everything else
  (model, smoke validation). ``state.tensors`` is then read on demand: ``state.tensors[name]`` reads one tensor.
- What is stored must not depend on the number of ranks or the ZeRO stage, unless it is registered ``per_rank``. When
  the number of ranks has changed, ``restore`` of a ``per_rank`` item is called on the ranks that were there before; the
  others keep what they have.
- An item that is registered but not in the checkpoint (an option that was off then) is not restored, and that is said;
  one that is in the checkpoint but not registered as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from vesselbench import distributed
from vesselbench.manifest import STATE_VALUES, state_file
from vesselbench.rundir import read_json, write_json
from vesselbench.tensorfile import TensorFile, Whole, write_tensors

__all__ = ["State", "Stateful", "States", "Whole"]


@dataclass(frozen=True)
class State:
    """JSON-able values and named tensors of one item."""

    values: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, torch.Tensor | Whole] = field(default_factory=dict)

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor of a state that is being restored."""
        return _plain(self.tensors[name])


class Stateful(Protocol):
    """See the module's docstring."""

    def state(self) -> State: ...

    def restore(self, state: State) -> None: ...


@dataclass(frozen=True)
class _Entry:
    item: Stateful
    per_rank: bool


class States:
    """The items of one training, by name."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def register(self, name: str, item: Stateful, per_rank: bool = False) -> None:
        """Save and restore `item` under `name` (letters and underscores; it becomes part of a file's name)."""
        if name in self._entries or not name.isidentifier():
            raise ValueError(f"state {name!r} is registered already, or is no name")
        self._entries[name] = _Entry(item, per_rank)

    def save(self, folder: Path) -> None:
        """Write state.json and the tensor files into `folder`; every rank must call it, rank 0 writes."""
        values: dict[str, Any] = {}
        for name, entry in self._entries.items():
            state = entry.item.state()
            values[name] = distributed.gather_rows([state.values]) if entry.per_rank else state.values
            tensors = _of_all_ranks(state.tensors) if entry.per_rank else dict(state.tensors)
            if tensors:
                write_tensors(folder / state_file(name), tensors)
        content = {"world": distributed.world(), "items": values}
        distributed.on_first(partial(write_json, folder / STATE_VALUES, content))

    def restore(self, folder: Path) -> list[str]:
        """Restore every item from `folder`, on every rank; returns what had to be left out, in words."""
        stored = read_json(folder / STATE_VALUES)["items"]
        left_out = [f"{name} was not saved and starts anew" for name in self._entries if name not in stored]
        left_out += [f"{name} was saved but is not used now" for name in stored if name not in self._entries]
        for name, entry in self._entries.items():
            if name not in stored:
                continue
            values, prefix = stored[name], ""
            if entry.per_rank:
                if distributed.rank() >= len(values):
                    continue
                values, prefix = values[distributed.rank()], f"{distributed.rank()}/"
            path = folder / state_file(name)
            if path.is_file():
                with TensorFile(path) as file:
                    entry.item.restore(State(values, file.below(prefix)))
            else:
                entry.item.restore(State(values))
        own = [name for name, entry in self._entries.items() if entry.per_rank and name in stored]
        if not own:
            return left_out
        before, names = max(len(stored[name]) for name in own), ", ".join(own)
        if before < distributed.world():
            left_out.append(f"ranks {before} to {distributed.world() - 1} are new: {names} start anew there")
        elif before > distributed.world():
            left_out.append(f"{names} of ranks {distributed.world()} to {before - 1} are dropped")
        return left_out


def _of_all_ranks(tensors: Mapping[str, torch.Tensor | Whole]) -> dict[str, torch.Tensor | Whole]:
    """The (small) tensors of every rank, as ``<rank>/<name>``."""
    mine = {name: _plain(value).cpu() for name, value in tensors.items()}
    everyone = distributed.gather_rows([mine])
    return {f"{rank}/{name}": tensor for rank, theirs in enumerate(everyone) for name, tensor in theirs.items()}


def _plain(value: torch.Tensor | Whole) -> torch.Tensor:
    if isinstance(value, Whole):
        raise TypeError("a state that is restored, or each rank's own, holds plain tensors only")
    return value
