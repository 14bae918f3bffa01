"""Losses at the stored points and their gradients against the official trainer."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from tests.parity.tolerances import GRADIENTS, MASKS, Close, loss_tolerance
from vesselbench_sa2va.losses import OFFICIAL_EPS, point_losses, sample_map, sample_masks, shrink_masks
from vesselbench_sa2va.merged import merged_names
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.names import official_keys
from vesselbench_sa2va.sam2 import best_mask

PART = re.compile(r"grounding_encoder\.sam2_model\.(image_encoder\.\w+|\w+)|\w+")


def _losses(found: dict[str, Tensor], oracle: Any, close: Close) -> None:
    for name, ours in found.items():
        stored = oracle.expected[name].squeeze()
        close(name, ours, stored, loss_tolerance(stored), oracle.exact[name])


@torch.no_grad()
def test_parity_of_the_training_losses_at_the_stored_points(oracle: Any, module: Sa2VAModule, close: Close) -> None:
    expected, states = oracle.expected, oracle.states(module)
    chosen = best_mask(*oracle.candidates(module, states))
    rows = oracle.rows(chosen)
    exact = oracle.exact
    close("train.pred_masks", chosen[rows], expected["train.pred_masks"], MASKS, exact["train.pred_masks"])
    small = shrink_masks(oracle.masks, torch.ones(len(oracle.masks), 2), chosen.shape[-1])
    close("train.gt_masks_lowres", torch.stack([small[r] for r in rows]), expected["train.gt_masks_lowres"], 0)
    logits, targets, loss_mask, loss_dice = oracle.mask_losses(chosen)
    llm = oracle.llm_loss(module, states)
    close("train.point_logits", logits, expected["train.point_logits"], MASKS, exact["train.point_logits"])
    close("train.point_targets", targets, expected["train.point_targets"], 1e-6)
    found = {"train.loss_mask": loss_mask, "train.loss_dice": loss_dice, "train.llm_loss": llm}
    _losses(found | {"train.loss_total": loss_mask + loss_dice + llm}, oracle, close)


@torch.no_grad()
def test_parity_of_the_mask_losses_of_the_stored_masks(oracle: Any, close: Close) -> None:
    """Without the rounding of what made the masks, on any processor."""
    expected, weights = oracle.expected, oracle.config["losses"]
    masks, points = expected["train.pred_masks"], expected["train.point_coords"]
    targets = sample_masks(list(expected["train.gt_masks_lowres"]), points)
    entropy, dice = point_losses(sample_map(masks[:, None], points)[:, 0], targets, OFFICIAL_EPS)
    for name, found in {"mask": entropy.mean(), "dice": dice.mean()}.items():
        ours, stored = weights[f"{name}_weight"] * found, expected[f"train.loss_{name}"].squeeze()
        close(f"train.loss_{name} of the stored masks", ours, stored, loss_tolerance(stored))


@torch.no_grad()
def test_parity_of_the_dense_losses(oracle: Any, module: Sa2VAModule, close: Close) -> None:
    expected, weights = oracle.expected, oracle.config["losses"]
    states = oracle.states(module)
    chosen = best_mask(*oracle.candidates(module, states))
    rows = oracle.rows(chosen)
    targets = expected["train.gt_masks_lowres"].to(chosen.dtype).flatten(1)
    entropy, dice = point_losses(chosen[rows].flatten(1), targets)
    loss_mask, loss_dice = weights["mask_weight"] * entropy.mean(), weights["dice_weight"] * dice.mean()
    found = {"mask": loss_mask, "dice": loss_dice}
    found = {f"train_dense.loss_{name}": value for name, value in found.items()}
    _losses(found | {"train_dense.llm_loss": oracle.llm_loss(module, states)}, oracle, close)


def _gradient(model: Sa2VAModule, name: str) -> Tensor:
    """None, of the mask that is not asked for, is 0."""
    parameter = model.get_parameter(name)
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def test_parity_of_the_gradients(oracle: Any, close: Close) -> None:
    """Of every tensor whose gradient the fixture holds: some from the official code, all from the reference."""
    model = oracle.build(freeze="none")
    model.requires_grad_(True)
    states = oracle.states(model)
    chosen = best_mask(*oracle.candidates(model, states))
    _, _, loss_mask, loss_dice = oracle.mask_losses(chosen)
    (loss_mask + loss_dice + oracle.llm_loss(model, states)).backward()
    names = merged_names(model)
    keys = official_keys(names)
    parts: dict[str, list[tuple[float, str, Tensor, Tensor]]] = {}
    for key, official in oracle.expected.items():
        if key.startswith("train.grad."):
            key = key.removeprefix("train.grad.")
            ours = torch.cat([_gradient(model, names[name]).chunk(n)[index] for name, index, n in keys[key]])
            distance = float((ours.double() - official.double()).abs().max())
            parts.setdefault(PART.match(key).group(), []).append((distance, key, ours, official))
    assert parts
    for part, tensors in parts.items():
        _, worst, ours, official = max(tensors, key=lambda tensor: tensor[0])
        inside = worst.removeprefix(part)
        close(f"train.grad of {part}: worst of {len(tensors)} {inside}", ours, official, GRADIENTS[oracle.dtype])
