"""The module's weights with everything that was learned folded in, under our plain names or the official ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor

from vesselbench_sa2va.names import official_keys, plain

if TYPE_CHECKING:
    from vesselbench_sa2va.model import Sa2VAModule

EMBEDDING, HEAD = "vlm.model.language_model.embed_tokens.weight", "vlm.lm_head.weight"


@torch.no_grad()
def merged_tensor(module: Sa2VAModule, name: str) -> Tensor:
    """One tensor of a plain (not partitioned) module by its full name, merged.

    A layer's weight has its adapter's product added, as peft's own merging does it; embedding and head have the rows of
    the new tokens added.
    """
    parent, _, last = name.rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(parent), last)
    owner = module.get_submodule(parent.removesuffix(".base_layer"))
    if isinstance(owner, LoraLayer) and last == "weight":
        product: Tensor = owner.get_delta_weight("default")
        return tensor + product
    rows = {EMBEDDING: module.new_embedding, HEAD: module.new_head}.get(plain(name))
    if rows is not None:
        return tensor.index_add(0, rows.ids, rows.weight.to(tensor.dtype))
    return tensor


def merged_names(module: Sa2VAModule) -> dict[str, str]:
    """Plain name -> full name of every tensor that a merged model has; trained copies stand for their originals."""
    tensors = [name for name, _ in module.named_parameters()]
    tensors += [name for name, _ in module.named_buffers() if name.endswith(".positional_embedding")]
    kept = [n for n in tensors if ".lora_" not in n and ".original_module." not in n and not n.startswith("new_")]
    return {plain(name): name for name in kept}


@torch.no_grad()
def official_tensors(module: Sa2VAModule) -> Iterator[tuple[str, Tensor]]:
    """The merged weights under the keys of a released checkpoint, one at a time (SAM 2's memory is not among them)."""
    names = merged_names(module)
    for key, entries in official_keys(names).items():
        parts = [merged_tensor(module, names[name]).chunk(parts)[index] for name, index, parts in entries]
        yield key, (torch.cat(parts) if len(parts) > 1 else parts[0]).detach().clone().contiguous()
