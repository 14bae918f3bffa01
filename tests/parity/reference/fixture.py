"""Fixture folders whose expected tensors come from the reference, in any precision and of any dimensions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.parity.reference.model import Reference
from tests.parity.reference.training import draw_points
from tests.parity.reference.weights import merged, with_checkpoint

Tensors = dict[str, Tensor]
FIXED = "positional_encoding_gaussian_matrix"
"""No parameter: SAM 2 never learns its random frequencies."""
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def read_reference(folder: Path, dtype: torch.dtype, inner: torch.dtype = torch.float32) -> Reference:
    """The reference on a fixture's weights and inputs, computing in `dtype`."""
    config = json.loads((folder / "config.json").read_text())
    tensors = _floats(load_file(folder / "model.safetensors"), dtype)
    return Reference(config, tensors, load_file(folder / "inputs.safetensors"), inner)


def read_adapted(folder: Path, dtype: torch.dtype, inner: torch.dtype = torch.float32) -> dict[str, Reference]:
    """The same with the training checkpoint in ``lora/`` on top: `adapter`, active, and `merged`."""
    base, settings = read_reference(folder, dtype, inner), json.loads((folder / "lora" / "adapter.json").read_text())
    trained = load_file(folder / "lora" / "train_checkpoint.safetensors")
    tensors = with_checkpoint(base.tensors, _floats(trained, dtype))
    scaling = settings["lora_alpha"] / settings["r"]
    return {
        "adapter": replace(base, tensors=tensors, scaling=scaling),
        "merged": replace(base, tensors=merged(tensors, scaling)),
    }


def write_fixture(folder: Path, config: Mapping[str, Any], tensors: Tensors, inputs: Tensors) -> None:
    """config.json, model, inputs and expected, in the dtype that `config` names; all gradients are among them."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = _floats(tensors, DTYPES[config["dtype"]])
    save_file(tensors, folder / "model.safetensors")
    save_file(inputs, folder / "inputs.safetensors")
    leaves = {name: tensor.clone().requires_grad_(not name.endswith(FIXED)) for name, tensor in tensors.items()}
    reference = Reference(dict(config), leaves, inputs)
    with torch.no_grad():
        torch.manual_seed(config["losses"]["torch_seed"])
        points = draw_points(reference.trained, config["losses"])
    reference = Reference(dict(config), leaves, inputs)
    losses = reference.losses(points)
    losses["loss_total"].backward()
    expected = reference.stages() | {
        "train.pred_masks": reference.trained,
        "train.gt_masks_lowres": reference.targets,
        "train.point_coords": points,
    }
    expected |= {f"train.{name}": _one_axis(value) for name, value in losses.items()}
    expected |= {f"train_dense.{name}": _one_axis(value) for name, value in reference.dense_losses().items()}
    expected |= {f"train.grad.{name}": leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
    save_file(
        {name: value.detach().clone().contiguous() for name, value in expected.items()}, folder / "expected.safetensors"
    )


@torch.no_grad()
def write_adapted(folder: Path, settings: Mapping[str, Any], trained: Tensors) -> None:
    """``lora/`` of a fixture that is there: the training checkpoint and what it makes of the base."""
    lora = folder / "lora"
    lora.mkdir()
    dtype = DTYPES[json.loads((folder / "config.json").read_text())["dtype"]]
    (lora / "adapter.json").write_text(json.dumps(settings))
    save_file(_floats(trained, dtype), lora / "train_checkpoint.safetensors")
    expected: Tensors = {}
    for name, reference in read_adapted(folder, dtype).items():
        expected |= {
            f"{name}.logits": reference.logits,
            f"{name}.llm_loss": reference.llm_loss[None],
            f"{name}.seg_embedding": reference.embedding,
        }
    first = reference.final_masks()["sam.video_res_mask"][:1]
    changed = {key: tensor for key, tensor in reference.tensors.items() if key.startswith(("language_model.", "mlp1."))}
    expected |= {f"merged.state.{key}": tensor for key, tensor in changed.items()}
    expected["merged.video_res_mask"] = first
    save_file({name: value.clone().contiguous() for name, value in expected.items()}, lora / "expected.safetensors")


def write_twin(source: Path, folder: Path) -> None:
    """A fixture's own weights and inputs in float64, with what the reference makes of them."""
    config = json.loads((source / "config.json").read_text()) | {"dtype": "float64"}
    write_fixture(folder, config, load_file(source / "model.safetensors"), load_file(source / "inputs.safetensors"))
    if (source / "lora").is_dir():
        settings = json.loads((source / "lora" / "adapter.json").read_text())
        write_adapted(folder, settings, load_file(source / "lora" / "train_checkpoint.safetensors"))


def _one_axis(value: Tensor) -> Tensor:
    return value if value.ndim else value[None]


def _floats(tensors: Tensors, dtype: torch.dtype) -> Tensors:
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
