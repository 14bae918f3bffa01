"""The adapted weights by a second route: peft merges each layer itself, and the merged files are held against that."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor

from vesselbench import UserError
from vesselbench_sa2va.archives import open_archive
from vesselbench_sa2va.misfit import some
from vesselbench_sa2va.names import official, plain

if TYPE_CHECKING:
    from vesselbench_sa2va.model import Sa2VAModule

ROUNDINGS = 2
"""How far a merged weight may lie from peft's: roundings of its type at the size of the layer's largest weight, one for
the product and one for the sum."""


@dataclass(frozen=True)
class Adapted:
    """Layers whose stored weight is peft's, and the keys of those that bfloat16 rounded back to the base's.

    Each layer's adapter has a factor B that is not zero.
    """

    layers: int
    rounded_away: tuple[str, ...]

    def lines(self) -> list[str]:
        """What was found, for the model card."""
        changed = self.layers - len(self.rounded_away)
        lines = [
            f"- peft's own merging of each layer gives the {self.layers} adapted weights of `merged/` to within"
            f" {ROUNDINGS} roundings; {changed} of {self.layers} differ from the base's"
        ]
        if self.rounded_away:
            lines.append(
                f"- adapters too small for bfloat16, without effect in `merged/`: {some(list(self.rounded_away))}"
            )
        return lines


def check_adapted(module: Sa2VAModule, folder: Path) -> Adapted:
    """Hold every adapted weight of the merged files in `folder` against peft's merging of a plain module's layers.

    Raises UserError, with the keys, for weights that are not peft's and for weights that are still the base's although
    the adapter's factor B is not zero. In bfloat16 the latter are counted where peft's own are the base's too.
    """
    archive = open_archive(folder)
    layers = 0
    other: list[str] = []
    unchanged: list[str] = []
    rounded: list[str] = []
    for name, layer in _adapted_layers(module):
        key = official(plain(f"{name}.weight")).keys[0]
        stored, base = archive.read(key), layer.get_base_layer().weight.detach()
        merged = _merged_by_peft(layer)
        layers += 1
        allowed = ROUNDINGS * torch.finfo(merged.dtype).eps * float(merged.abs().max())
        if stored.dtype != merged.dtype or float((stored.double() - merged.double()).abs().max()) > allowed:
            other.append(key)
        elif torch.equal(stored, base):
            lost = torch.equal(merged, base) and merged.dtype == torch.bfloat16
            (rounded if lost else unchanged).append(key)
    _refuse(folder, layers, other, "are not those of peft's own merging")
    _refuse(folder, layers, unchanged, "are still the base's, as if nothing had been trained")
    return Adapted(layers, tuple(rounded))


def _adapted_layers(module: Sa2VAModule) -> Iterator[tuple[str, Any]]:
    """Names and layers whose adapter does anything: its factor B is not zero."""
    for name, layer in module.named_modules():
        if isinstance(layer, LoraLayer) and bool(layer.lora_B["default"].weight.any()):
            yield name, layer


@torch.no_grad()
def _merged_by_peft(layer: Any) -> Tensor:
    """The weight after peft's own ``merge``, on a copy: one layer at a time is held twice."""
    copied = deepcopy(layer)
    copied.merge()
    weight: Tensor = copied.get_base_layer().weight.detach()
    return weight


def _refuse(folder: Path, layers: int, keys: list[str], what: str) -> None:
    if keys:
        raise UserError(
            f"{len(keys)} of {layers} adapted weights in {folder} {what}: {some(keys)}",
            "do not use these files: report it, with the versions of peft and torch",
        )
