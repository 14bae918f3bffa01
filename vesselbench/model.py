"""What the harness asks of a model, and the weights that go in and out of it.

A module built by a ModelPlugin has two methods beside ``nn.Module``'s:

``loss(batch) -> dict[str, Tensor]``
    has ``"loss"``, a scalar that goes to backward: the mean over the samples of the batch. Other keys are logged; they
    must be detached and the same on every rank and step. Every trainable module takes part in every call (multiply by
    0 rather than branch: ranks in different branches hang under ZeRO-3).
``predict(batch) -> list[Tensor]``
    one probability map [H,W] in [0,1] per sample at ``batch.sizes[i]``; no loop of data-dependent length. A model that
    writes an answer gives (map, text, status) per sample instead, status "ok" or what went wrong.

``requires_grad`` is the checkpoint contract: saved = trainable parameters + buffers, by name, as safetensors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from vesselbench import sharding
from vesselbench.config import Recipe
from vesselbench.distributed import on_first, rank
from vesselbench.errors import UserError
from vesselbench.hookspecs import ModelPlugin
from vesselbench.plugins import Catalogue, is_trained
from vesselbench.recipes import model_settings
from vesselbench.rundir import write_bytes
from vesselbench.tensorfile import write_tensors
from vesselbench.types import Batch, Task

__all__ = [
    "ModelPlugin",
    "SegmentationModule",
    "Step",
    "load_trained",
    "load_weights",
    "read_safetensors",
    "refuse_faulty",
    "save_trained",
    "write_safetensors",
]

ADAPTER = re.compile(r"(^|\.)lora_\w+")
"""Names of low-rank adapters as peft gives them. One factor of each pair starts at zero, and moves with the first step
that reaches it (the learning rate is above 0 from the first step on)."""

Output = torch.Tensor | tuple[torch.Tensor, str, str]
"""Probability [H,W], or probability, text and status."""


class SegmentationModule(Protocol):
    """The two methods of a module that `Step` calls."""

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]: ...

    def predict(self, batch: Batch) -> Sequence[Output]: ...


class Step(torch.nn.Module):
    """Sends every use of a model through ``forward``, where the training engine's hooks are.

    (A method of the model called past the engine would see parameters of shape (0,) under ZeRO-3.)
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, call: str, batch: Batch) -> Any:
        return getattr(self.model, call)(batch)


def build_model(
    recipe: Recipe, task: Task, catalogue: Catalogue, make: Callable[[], torch.nn.Module] | None = None
) -> torch.nn.Module:
    """The module that a recipe describes: the same weights on every rank and at every call, from ``train.seed``.

    `make` stands in for the plugin's ``build``. Raises UserError when the module lacks ``loss`` or ``predict``.
    """
    plugin, config = model_settings(recipe, catalogue)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.train.seed)
        module = plugin.build(config, task) if make is None else make()
    for method in ("loss", "predict") if is_trained(plugin) else ("predict",):
        if not callable(getattr(module, method, None)):
            raise UserError(f"the model {plugin.name!r} has no method {method!r}", "see docs/add-a-model.md")
    return module


def to_device(value: Any, device: torch.device, dtype: torch.dtype | None = None) -> Any:
    """Tensors of a nested value on `device`, floating ones as `dtype` when one is given."""
    if isinstance(value, torch.Tensor):
        return value.to(device, dtype if dtype is not None and value.is_floating_point() else None)
    if isinstance(value, Mapping):
        return {key: to_device(item, device, dtype) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_device(item, device, dtype) for item in value)
    return value


def batch_to(batch: Batch, device: torch.device, dtype: torch.dtype | None = None) -> Batch:
    """The batch with its inputs on `device`."""
    return Batch(batch.ids, batch.sizes, to_device(batch.inputs, device, dtype))


def count_parts(
    module: torch.nn.Module, part_of: Callable[[str], str] = lambda name: name.split(".", 1)[0]
) -> dict[str, tuple[int, int]]:
    """(parameters, trainable ones) per part, whole counts also when ZeRO-3 has partitioned them.

    `part_of` names the part of a parameter; without it a part is a child of the module.
    """
    parts: dict[str, tuple[int, int]] = {}
    for name, parameter in module.named_parameters():
        part = part_of(name)
        total, trainable = parts.get(part, (0, 0))
        size = sharding.whole_numel(parameter)
        parts[part] = (total + size, trainable + size * parameter.requires_grad)
    return parts


def trained_names(module: torch.nn.Module) -> list[str]:
    """Names of what a checkpoint holds: trainable parameters and persistent buffers, sorted."""
    trainable = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    return sorted(trainable | _buffer_names(module))


def save_trained(module: torch.nn.Module, path: Path) -> None:
    """Write trainable parameters and buffers, whole, to `path` (rank 0 writes; every rank must call it).

    Raises UserError on every rank, with the names, for what `refuse_faulty` refuses: such a file would score nothing,
    or what the base scores.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            with sharding.whole([parameter]):  # one at a time: a rank never holds the whole model
                if rank() == 0:
                    tensors[name] = parameter.detach().cpu().clone().contiguous()
    state = dict(module.named_buffers())
    tensors |= {name: state[name].detach().cpu().clone().contiguous() for name in _buffer_names(module)}
    on_first(lambda: refuse_faulty(tensors, f"refused to save {path}"))
    write_tensors(path, tensors)


def write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write tensors by name, whole or not at all; UserError when the disk refuses."""
    write_bytes(path, save(dict(tensors), metadata))


def refuse_faulty(tensors: Mapping[str, torch.Tensor], what: str) -> None:
    """Refuse trained weights that cannot be any, with their names; the UserError starts with `what`.

    Refused are tensors that are empty (also: partitioned and not gathered) or not finite, and low-rank adapters that
    are zero throughout: they have not moved since they were made, and the base would be saved as if it were trained.
    """
    empty = [name for name, tensor in tensors.items() if tensor.numel() == 0]
    if empty:
        raise UserError(
            f"{what}: empty tensors {_some(empty)}",
            "a parameter that ZeRO-3 has partitioned is empty until it is gathered: save through save_trained",
        )
    strange = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if strange:
        raise UserError(
            f"{what}: tensors that are not finite {_some(strange)}", "the training went wrong; lower train.lr"
        )
    still = [name for name, tensor in tensors.items() if ADAPTER.search(name) and not bool(tensor.any())]
    if still:
        raise UserError(
            f"{what}: {len(still)} adapter tensors are all zero, as they were before the first step: {_some(still)}",
            "no gradient has reached them: check the loss and train.lr, and save after at least one step",
        )


def load_trained(module: torch.nn.Module, path: Path) -> None:
    """Read a file of `save_trained` into a plain (not partitioned) module.

    Strict: nothing unexpected, nothing missing but the frozen parameters, every shape equal; UserError lists the rest.
    """
    tensors = read_safetensors(path)
    _check_names(path, set(trained_names(module)), tensors, module)
    _copy(module, tensors)


def load_weights(module: torch.nn.Module, files: Sequence[Path]) -> None:
    """Read base weights into every parameter and persistent buffer of `module`, partitioned or not.

    Strict: UserError lists every missing, unexpected or wrongly shaped key.
    """
    tensors: dict[str, torch.Tensor] = {}
    for path in files:
        for name, tensor in read_safetensors(path).items():
            if name in tensors:
                raise UserError(f"{path}: key {name!r} stands in an earlier file too", "give each shard once")
            tensors[name] = tensor
    names = {name for name, _ in module.named_parameters()} | _buffer_names(module)
    _check_names(files[0], names, tensors, module)
    _copy(module, tensors)


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file; UserError when it is missing or cut short."""
    if not path.is_file():
        raise UserError(f"weights file {path} does not exist", "check the path")
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except SafetensorError as error:
        raise UserError(
            f"{path} is not a whole safetensors file: {error}", "copy it again; it was cut short or is another kind"
        ) from None
    return tensors


def _buffer_names(module: torch.nn.Module) -> set[str]:
    """Persistent buffers only: what a module can rebuild itself does not belong into a file."""
    names = set()
    for prefix, part in module.named_modules():
        for name in part._buffers.keys() - part._non_persistent_buffers_set:
            if part._buffers[name] is not None:
                names.add(f"{prefix}.{name}" if prefix else name)
    return names


def _check_names(path: Path, wanted: set[str], tensors: Mapping[str, torch.Tensor], module: torch.nn.Module) -> None:
    missing, unexpected = sorted(wanted - tensors.keys()), sorted(tensors.keys() - wanted)
    if missing or unexpected:
        found = [f"{len(missing)} missing: {_some(missing)}"] if missing else []
        found += [f"{len(unexpected)} unexpected: {_some(unexpected)}"] if unexpected else []
        raise UserError(
            f"{path} does not fit this model; {'; '.join(found)}", "use the recipe that the file was trained with"
        )
    shapes = {name: _whole_shape(tensor) for name, tensor in _named_tensors(module)}
    wrong = [
        f"{name} {tuple(tensors[name].shape)} against {shapes[name]}"
        for name in wanted
        if tuple(tensors[name].shape) != shapes[name]
    ]
    if wrong:
        raise UserError(
            f"{path} is of another size: {_some(sorted(wrong))}", "use the recipe that the file was trained with"
        )


def _whole_shape(tensor: torch.Tensor) -> tuple[int, ...]:
    return tuple(getattr(tensor, "ds_shape", tensor.shape))


def _named_tensors(module: torch.nn.Module) -> Iterable[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _copy(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in _named_tensors(module):
        if name not in tensors:
            continue
        parameters = [tensor] if isinstance(tensor, torch.nn.Parameter) else []
        with sharding.whole(parameters, write=True), torch.no_grad():
            if tensor.numel():  # under ZeRO-3 only rank 0 need write, but writing the same everywhere is harmless
                tensor.copy_(tensors[name])


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
