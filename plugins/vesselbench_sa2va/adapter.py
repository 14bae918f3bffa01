"""What was trained, as files beside the base: peft's own adapter folder, and everything that peft does not know."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from vesselbench import UserError
from vesselbench.model import read_safetensors, refuse_faulty, write_safetensors
from vesselbench_sa2va.misfit import some
from vesselbench_sa2va.names import plain

if TYPE_CHECKING:
    from vesselbench_sa2va.model import Sa2VAModule

ADAPTER, OTHER = "adapter_model.safetensors", "other_trained.safetensors"
_PEFTS = (".lora_", ".modules_to_save.")


def adapter_tensors(module: Sa2VAModule) -> dict[str, Tensor]:
    """The adapter under peft's own names; with ``lora.tokens: official`` the copies of embedding and head too."""
    state: dict[str, Tensor] = get_peft_model_state_dict(module.vlm, save_embedding_layers=False)
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}


def other_parameters(module: Sa2VAModule) -> dict[str, nn.Parameter]:
    """Trained parameters that are no part of the adapter, by plain name.

    `new_embedding` and `new_head` [k,C] are what is added to the rows of the new tokens.
    """
    return {
        plain(name): parameter
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and not any(mark in name for mark in _PEFTS)
    }


def write_adapter(module: Sa2VAModule, folder: Path) -> tuple[int, int]:
    """Write adapter_config.json, adapter_model.safetensors and other_trained.safetensors; returns how many tensors each
    of the two holds.

    Raises UserError, with the names, for tensors that `refuse_faulty` refuses.
    """
    folder.mkdir()
    adapter = adapter_tensors(module)
    other = {name: p.detach().cpu().clone().contiguous() for name, p in other_parameters(module).items()}
    refuse_faulty(adapter, f"refused to write {folder / ADAPTER}")
    refuse_faulty(other, f"refused to write {folder / OTHER}")
    settings: Any = copy(module.vlm.peft_config["default"])
    settings.inference_mode = True
    settings.save_pretrained(folder)
    ids = ",".join(str(token) for token in module.shape.tokens.new)
    write_safetensors(folder / ADAPTER, adapter, {"format": "pt"})
    write_safetensors(folder / OTHER, other, {"format": "pt", "new_token_ids": ids})
    return len(adapter), len(other)


@torch.no_grad()
def load_adapter(module: Sa2VAModule, folder: Path) -> None:
    """Lay the files of `write_adapter` on a module that holds the base; every name must be there and no other."""
    adapter, other = read_safetensors(folder / ADAPTER), read_safetensors(folder / OTHER)
    parameters = other_parameters(module)
    _refuse_other_names(folder / ADAPTER, set(adapter), set(adapter_tensors(module)))
    _refuse_other_names(folder / OTHER, set(other), set(parameters))
    set_peft_model_state_dict(module.vlm, adapter)
    for name, parameter in parameters.items():
        if other[name].shape != parameter.shape:
            raise UserError(f"{folder / OTHER}: {name} is {tuple(other[name].shape)}, not {tuple(parameter.shape)}")
        parameter.copy_(other[name])


def _refuse_other_names(path: Path, found: set[str], wanted: set[str]) -> None:
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    if missing or extra:
        raise UserError(
            f"{path} does not fit this model: {len(missing)} missing ({some(missing)}), {len(extra)} unexpected"
            f" ({some(extra)})",
            "use the recipe that it was exported from",
        )
