"""Released and official weights into the module: strict, one tensor at a time, no more in memory than the model."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from vesselbench import UserError
from vesselbench_sa2va.archives import Archive, open_archive
from vesselbench_sa2va.layouts import Layout, layout_of, pieces_of, unmatched
from vesselbench_sa2va.misfit import Misfit, some
from vesselbench_sa2va.names import Piece, plain
from vesselbench_sa2va.tokenrows import NewRows

FRESH = re.compile(r"\.lora_[AB]\.|^new_(embedding|head)\.|^text_hidden_fcs\.")
"""What may start at random when no file has it: it is always trained."""
TABLES = re.compile(r"\.(embed_tokens|lm_head)\.weight$")
ROWS = 4096
"""Rows of a table that are averaged at once: a copy of the whole in higher precision would double the peak memory."""


@dataclass(frozen=True)
class Stored:
    """One of our tensors in a file. `new_rows` are added below it, each the mean of the rows that are there."""

    archive: Archive
    piece: Piece
    new_rows: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, without reading it."""
        first, *rest = self.archive.shapes[self.piece.keys[0]]
        return (first * len(self.piece.keys) // self.piece.parts + self.new_rows, *rest)

    def copy_to(self, target: Tensor) -> None:
        """Write it into a tensor of its shape, cast to the type of that; no other copy of it is made."""
        row = 0
        for key in self.piece.keys:
            part = self.archive.read(key).chunk(self.piece.parts)[self.piece.part]
            target[row : row + len(part)].copy_(part)
            if self.new_rows:
                sums = [rows.double().sum(0) for rows in torch.split(part, ROWS)]
                target[len(part) :].copy_(torch.stack(sums).sum(0) / len(part))
            row += len(part)


@dataclass(frozen=True)
class Sources:
    """Our plain names -> where they are stored: in the base files, and with a training checkpoint laid on top."""

    base: dict[str, Stored]
    newest: dict[str, Stored]

    def of(self, name: str) -> Stored | None:
        """Source of a parameter by its full name; the frozen original of a trained copy keeps the base's values."""
        return (self.base if ".original_module." in name else self.newest).get(plain(name))


def find_sources(module: nn.Module, paths: Sequence[Path], new_tokens: int) -> Sources:
    """Look up every tensor of the module in the files, reading none: base files, and on top one training checkpoint.

    Raises UserError for a file that is missing, damaged, of another kind or size, or that has other keys, for a tensor
    that stands in two base files, and for anything after the training checkpoint.
    """
    shapes = {plain(name): tuple(tensor.shape) for name, tensor in _tensors(module)}
    base: dict[str, Stored] = {}
    trained: dict[str, Stored] = {}
    for path in paths:
        archive = open_archive(path)
        layout = layout_of(archive)
        found = _match(archive, layout, shapes, new_tokens)
        if trained:
            raise _after_training(archive, layout, trained)
        if layout.base:
            _refuse_doubles(archive, base, found)
            base.update(found)
        else:
            trained = found
    absent = sorted(name for name in shapes if name not in base and not FRESH.search(name))
    if absent:
        parts = sorted({"SAM 2" if name.startswith("sam.") else "InternVL" for name in absent})
        raise UserError(
            f"model.weights has nothing for {len(absent)} tensors of {' and '.join(parts)}: {some(absent)}",
            f"add a file with the weights of {' and '.join(parts)} to model.weights",
        )
    return Sources(base, {**base, **trained})


def _after_training(archive: Archive, layout: Layout, trained: dict[str, Stored]) -> UserError:
    """The error of a file that would replace what was trained, or be laid on it in part."""
    checkpoint = next(iter(trained.values())).archive.path
    if layout.base:
        return UserError(
            f"model.weights names {archive.path} ({layout.kind}) after the training checkpoint {checkpoint}, whose"
            " tensors it would replace",
            "name training checkpoints last in model.weights",
        )
    return UserError(
        f"model.weights names two training checkpoints, {checkpoint} and {archive.path}",
        "name one: each holds all that was trained",
    )


def _refuse_doubles(archive: Archive, base: dict[str, Stored], found: dict[str, Stored]) -> None:
    """UserError when base files hold the same tensors: one of them would be ignored without a word."""
    doubles = sorted(base.keys() & found.keys())
    if doubles:
        earlier = ", ".join(sorted({str(base[name].archive.path) for name in doubles}))
        raise UserError(
            f"{len(doubles)} tensors stand in {archive.path} and in {earlier}: {some(doubles, 4)}",
            "name each base once: a released Sa2VA alone, or an InternVL and a SAM 2"
            " (no other SAM 2 can be put under a released Sa2VA)",
        )


def _match(archive: Archive, layout: Layout, shapes: dict[str, tuple[int, ...]], new_tokens: int) -> dict[str, Stored]:
    """Every tensor that such a file holds; UserError with all keys that are missing, unknown or of another shape."""
    pieces = pieces_of(archive, layout, shapes)
    missing, unknown = unmatched(archive, pieces)
    found, other = {}, {}
    for name, piece in pieces.items():
        if not archive.shapes.keys() >= set(piece.keys):
            continue
        stored = Stored(archive, piece)
        if layout.grows and TABLES.search(name) and stored.shape[0] == shapes[name][0] - new_tokens:
            stored = Stored(archive, piece, new_tokens)
        found[name] = stored
        if stored.shape != shapes[name]:
            other[" + ".join(piece.keys)] = (stored.shape, shapes[name])
    misfit = Misfit(archive, layout.kind, missing, unknown, other)
    if misfit:
        raise misfit.error(shapes)
    return found


def leave_whole(parameter: nn.Parameter) -> None:
    """What settles a parameter in a plain module: nothing."""


def fill(
    module: nn.Module, sources: Sources, dtype: torch.dtype, settle: Callable[[nn.Parameter], None] = leave_whole
) -> None:
    """Give a module on the meta device its weights, one tensor at a time, and what no file has its usual start.

    Each parameter is settled before the next one is read.
    """
    for name, tensor in _tensors(module):
        stored, (holder, last) = sources.of(name), _holder(module, name)
        is_parameter = isinstance(tensor, nn.Parameter)
        exact = dtype if is_parameter or dtype.itemsize > 4 else torch.float32  # SAM's frequencies: never below it
        value = torch.empty(tensor.shape, dtype=exact)
        if stored is None:
            _start(name, value, holder)
        else:
            stored.copy_to(value)
        if not is_parameter:
            setattr(holder, last, value)
            continue
        parameter = nn.Parameter(value, requires_grad=tensor.requires_grad)
        setattr(holder, last, parameter)
        del value  # or it would keep the whole alive while the parameter is split
        settle(parameter)
    for part in module.modules():
        _compute_buffers(part)
    lost = [name for name, tensor in [*module.named_parameters(), *module.named_buffers()] if tensor.is_meta]
    if lost:
        raise RuntimeError(f"never filled: {some(lost)}")


def _holder(module: nn.Module, name: str) -> tuple[Any, str]:
    """The part of the module that has the tensor, and the tensor's name there."""
    parent, _, last = name.rpartition(".")
    return module.get_submodule(parent), last


@torch.no_grad()
def _start(name: str, value: Tensor, holder: Any) -> None:
    """The usual start of what no file holds: adapters as peft starts them (Hu et al. 2021, §4.1: B is 0, so that
    nothing changes at first), new rows 0, text_hidden_fcs as every linear layer of torch. Drawn in float32.
    """
    if ".lora_B." in name or name.startswith("new_"):
        value.zero_()
        return
    drawn = torch.empty(value.shape)
    if name.endswith(".bias"):
        bound = 1 / math.sqrt(holder.in_features)
        drawn.uniform_(-bound, bound)
    else:
        nn.init.kaiming_uniform_(drawn, a=math.sqrt(5))
    value.copy_(drawn)


def _compute_buffers(part: nn.Module) -> None:
    """Buffers that are computed from the configuration."""
    if isinstance(part, NewRows):
        part.ids = torch.tensor(part.tokens)
    elif isinstance(part, Qwen2RotaryEmbedding):
        fresh = Qwen2RotaryEmbedding(part.config)
        part.inv_freq, part.original_inv_freq = fresh.inv_freq, fresh.original_inv_freq


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters, and the buffers that a file holds (SAM's frequencies)."""
    buffers = [(name, buffer) for name, buffer in module.named_buffers() if name.endswith(".positional_embedding")]
    return [*module.named_parameters(), *buffers]
