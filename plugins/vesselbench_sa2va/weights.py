"""Released and official weights into the module: strict, one tensor at a time, no more in memory than the model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from vesselbench import UserError
from vesselbench_sa2va.archives import Archive, open_archive
from vesselbench_sa2va.layouts import layout_of, pieces_of, some
from vesselbench_sa2va.names import Piece, plain
from vesselbench_sa2va.tokenrows import NewRows

FRESH = re.compile(r"\.lora_[AB]\.|^new_(embedding|head)\.|^text_hidden_fcs\.")
"""What may start at random when no file has it: it is always trained."""
TABLES = re.compile(r"\.(embed_tokens|lm_head)\.weight$")
WIDTHS = {
    896: "1b (InternVL3-1B, InternVL2.5-1B)",
    1536: "2b (InternVL3-2B)",
    2048: "InternVL2.5-4B",
    3584: "8b (InternVL3-8B)",
    4096: "InternVL2.5-8B (InternLM2, not supported)",
    5120: "14b (InternVL3-14B)",
    6144: "InternVL2.5-26B (InternLM2, not supported)",
}
"""Width of the language model: which released model a file belongs to."""


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

    def read(self) -> Tensor:
        """The tensor, in the file's own type."""
        pieces = [self.archive.read(key) for key in self.piece.keys]
        tensor = torch.cat(pieces) if len(pieces) > 1 else pieces[0]
        tensor = tensor.chunk(self.piece.parts)[self.piece.part]
        if self.new_rows:
            mean = tensor.float().mean(0, keepdim=True).to(tensor.dtype)
            tensor = torch.cat([tensor, mean.expand(self.new_rows, -1)])
        return tensor


@dataclass(frozen=True)
class Sources:
    """Our plain names -> where they are stored: in the base files, and with training checkpoints laid on top."""

    base: dict[str, Stored]
    newest: dict[str, Stored]

    def of(self, name: str) -> Stored | None:
        """Source of a parameter by its full name; the frozen original of a trained copy keeps the base's values."""
        return (self.base if ".original_module." in name else self.newest).get(plain(name))


def find_sources(module: nn.Module, paths: Sequence[Path], new_tokens: int) -> Sources:
    """Look up every tensor of the module in the files, later files over earlier ones, reading none.

    Raises UserError for a file that is missing, damaged, of another kind or size, or that has other keys.
    """
    shapes = {plain(name): tuple(tensor.shape) for name, tensor in _tensors(module)}
    base: dict[str, Stored] = {}
    newest: dict[str, Stored] = {}
    for path in paths:
        archive = open_archive(path)
        layout = layout_of(archive)
        found = {name: Stored(archive, piece) for name, piece in pieces_of(archive, layout, shapes).items()}
        for name, stored in found.items():
            if layout.grows and TABLES.search(name) and stored.shape[0] == shapes[name][0] - new_tokens:
                found[name] = Stored(archive, stored.piece, new_tokens)
        _refuse_other_shapes(archive, found, shapes)
        newest.update(found)
        if layout.base:
            base.update(found)
    absent = sorted(name for name in shapes if name not in base and not FRESH.search(name))
    if absent:
        parts = sorted({"SAM 2" if name.startswith("sam.") else "InternVL" for name in absent})
        raise UserError(
            f"model.weights has nothing for {len(absent)} tensors of {' and '.join(parts)}: {some(absent)}",
            f"add a file with the weights of {' and '.join(parts)} to model.weights",
        )
    return Sources(base, newest)


def fill(module: nn.Module, sources: Sources, dtype: torch.dtype) -> None:
    """Give a module on the meta device its weights, one tensor at a time, and what no file has its usual start."""
    for name, tensor in _tensors(module):
        stored = sources.of(name)
        value = torch.empty(tensor.shape, dtype=dtype) if stored is None else stored.read().to(dtype, copy=True)
        parent, _, last = name.rpartition(".")
        holder = module.get_submodule(parent)
        if isinstance(tensor, nn.Parameter):
            setattr(holder, last, nn.Parameter(value, requires_grad=tensor.requires_grad))
        else:
            exact = value if dtype.itemsize > 4 else value.float()  # SAM's frequencies: never below float32
            setattr(holder, last, exact)
    for name, part in module.named_modules():
        _start(name, part, sources)
    lost = [name for name, tensor in [*module.named_parameters(), *module.named_buffers()] if tensor.is_meta]
    if lost:
        raise RuntimeError(f"never filled: {some(lost)}")


@torch.no_grad()
def _start(name: str, part: nn.Module, sources: Sources) -> None:
    """The usual start of what no file holds: adapters, new rows, text_hidden_fcs, and buffers that are computed."""
    if isinstance(part, LoraLayer) and sources.of(f"{name}.lora_A.default.weight") is None:
        part.reset_lora_parameters("default", True)
    elif isinstance(part, NewRows):
        part.weight.zero_()
        part.ids = torch.tensor(part.tokens)
    elif isinstance(part, nn.Linear) and FRESH.search(f"{name}.weight") and sources.of(f"{name}.weight") is None:
        if not name.startswith("vlm."):  # an adapter's own linear layers were started above
            part.reset_parameters()
    elif isinstance(part, Qwen2RotaryEmbedding):
        fresh = Qwen2RotaryEmbedding(part.config)
        part.inv_freq, part.original_inv_freq = fresh.inv_freq, fresh.original_inv_freq


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters, and the buffers that a file holds (SAM's frequencies)."""
    buffers = [(name, buffer) for name, buffer in module.named_buffers() if name.endswith(".positional_embedding")]
    return [*module.named_parameters(), *buffers]


def _refuse_other_shapes(archive: Archive, found: dict[str, Stored], shapes: dict[str, tuple[int, ...]]) -> None:
    wrong = sorted(name for name, stored in found.items() if stored.shape != shapes[name])
    if not wrong:
        return
    listed = some([f"{' + '.join(found[n].piece.keys)} {found[n].shape} against {shapes[n]}" for n in wrong])
    hint = "use a file of this size, or set model.size"
    widths = [size for name in wrong for size in found[name].shape if size in WIDTHS and size not in shapes[name]]
    if any(".lora_" in name for name in wrong):
        ranks = sorted({min(found[name].shape) for name in wrong if ".lora_" in name})
        hint = f"set model.lora.r={ranks[0]}, the rank of the file"
    elif widths:
        hint = f"by its width {widths[0]} the file belongs to {WIDTHS[widths[0]]}; set model.size accordingly"
    raise UserError(f"{archive.path} is of another size: {len(wrong)} tensors differ: {listed}", hint)
