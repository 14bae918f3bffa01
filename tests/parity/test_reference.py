"""The independent reference against what the official code itself made: only then may it judge the plugin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.parity.reference.fixture import DTYPES, read_adapted, read_reference
from tests.parity.reference.model import Reference
from tests.parity.tolerances import FEATURES, GRADIENTS, MASKS, Close, loss_tolerance

NOT_COMPARED = {"sam.obj_ptr", "clip.video_res_masks"}
"""Stored tensors of SAM 2's memory of earlier frames, which the plugin does not have: it reads single images."""


def _dtype(folder: Path) -> str:
    return str(json.loads((folder / "config.json").read_text())["dtype"])


def _tolerance(stage: str, official: Tensor) -> float:
    if "loss" in stage:
        return loss_tolerance(official)
    return MASKS if "mask" in stage or "point_logits" in stage else FEATURES


def _same(stage: str, found: Tensor, official: Tensor, exact: Tensor, close: Close) -> None:
    """Only valid tokens are compared, the caller sees to that; a loss may be stored with an axis."""
    close(f"reference {stage}", found.reshape(official.shape), official, _tolerance(stage, official), exact)


@torch.no_grad()
def test_parity_of_the_reference_in_every_stage(stored: Path, close: Close) -> None:
    reference, expected = read_reference(stored, DTYPES[_dtype(stored)]), load_file(stored / "expected.safetensors")
    exact_stages = read_reference(stored, torch.float64, inner=torch.float64).stages()
    valid = reference.inputs["attention_mask"].bool()
    for stage, found in reference.stages().items():
        official, exact = expected[stage], exact_stages[stage]
        if stage in ("logits", "last_hidden_state"):
            found, official, exact = found[valid], official[valid], exact[valid]
        if stage.startswith("final_mask."):
            clear = expected[stage.replace("final_mask", "final_mask_logits")].abs() > 1e-3
            assert torch.equal(found[clear], official[clear])
        else:
            _same(stage, found, official, exact, close)


@torch.no_grad()
def test_parity_is_held_of_every_stored_tensor_but_those_of_videos(stored: Path) -> None:
    """What the tests beside this one compare, by name; pixels in test_parity_inference.py."""
    reference, expected = read_reference(stored, DTYPES[_dtype(stored)]), load_file(stored / "expected.safetensors")
    compared = {*reference.stages(), "grounding_pixel_values_bf16stats"}
    compared |= {f"train.{name}" for name in reference.losses(expected["train.point_coords"])}
    compared |= {f"train_dense.{name}" for name in reference.dense_losses()}
    compared |= {f"train.{name}" for name in ("pred_masks", "gt_masks_lowres", "point_coords")}
    compared |= {f"train.grad.{name}" for name in reference.tensors}
    assert set(expected) - compared <= NOT_COMPARED


def test_parity_of_the_reference_in_losses_and_gradients(stored: Path, close: Close) -> None:
    reference, expected = read_reference(stored, DTYPES[_dtype(stored)]), load_file(stored / "expected.safetensors")
    leaves = {name: tensor.requires_grad_() for name, tensor in reference.tensors.items()}
    exact = read_reference(stored, torch.float64, inner=torch.float64)
    _same("train.pred_masks", reference.trained, expected["train.pred_masks"], exact.trained, close)
    assert torch.equal(reference.targets, expected["train.gt_masks_lowres"].to(reference.dtype))
    losses = reference.losses(expected["train.point_coords"])
    exact_losses, exact_dense = exact.losses(expected["train.point_coords"]), exact.dense_losses()
    for name, found in losses.items():
        _same(f"train.{name}", found, expected[f"train.{name}"], exact_losses[name], close)
    for name, found in reference.dense_losses().items():
        _same(f"train_dense.{name}", found, expected[f"train_dense.{name}"], exact_dense[name], close)
    losses["loss_total"].backward()
    stored_ones = {key for key in expected if key.startswith("train.grad.")}
    assert stored_ones
    for key in sorted(stored_ones):
        gradient = leaves[key.removeprefix("train.grad.")].grad
        assert gradient is not None
        close(f"reference {key}", gradient, expected[key], GRADIENTS[_dtype(stored)])


@torch.no_grad()
def test_parity_of_the_reference_with_a_training_checkpoint(stored: Path, close: Close) -> None:
    if not (stored / "lora").is_dir():
        pytest.skip("this fixture has no training checkpoint")
    expected = load_file(stored / "lora" / "expected.safetensors")
    references = read_adapted(stored, DTYPES[_dtype(stored)])
    exact = read_adapted(stored, torch.float64, inner=torch.float64)
    for name, reference in references.items():
        valid, true = reference.inputs["attention_mask"].bool(), exact[name]
        _same(f"{name}.logits", reference.logits[valid], expected[f"{name}.logits"][valid], true.logits[valid], close)
        _same(f"{name}.llm_loss", reference.llm_loss, expected[f"{name}.llm_loss"], true.llm_loss, close)
        _same(f"{name}.seg_embedding", reference.embedding, expected[f"{name}.seg_embedding"], true.embedding, close)
    mask, true = (one.final_masks()["sam.video_res_mask"][:1] for one in (reference, exact["merged"]))
    _same("merged.video_res_mask", mask, expected["merged.video_res_mask"], true, close)
    for key, value in expected.items():
        if key.startswith("merged.state."):
            close(f"reference {key}", references["merged"].tensors[key.removeprefix("merged.state.")], value, 1e-6)


def test_parity_of_the_reference_is_lost_with_any_wrong_detail(stored: Path) -> None:
    """The comparisons above can fail: each detail of the architecture that is left out shows."""
    reference, expected = read_reference(stored, torch.float64), load_file(stored / "expected.safetensors")
    sam = "grounding_encoder.sam2_model."
    for name in (f"{sam}no_mem_embed", f"{sam}sam_prompt_encoder.not_a_point_embed.weight", "text_hidden_fcs.2.bias"):
        tensors = reference.tensors | {name: torch.zeros_like(reference.tensors[name])}
        wrong = Reference(reference.config, tensors, reference.inputs)
        assert float((wrong.decoded.masks - expected["sam.low_res_multimasks"]).abs().max()) > 100 * MASKS, name
