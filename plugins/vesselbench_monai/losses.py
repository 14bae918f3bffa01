"""Losses of one logit map, per sample, over the pixels that are annotated and in view. All in fp32.

Every function takes logits or probabilities, mask and weight as float32 [B,1,H,W]; weight 0 leaves a pixel out.
"""

from __future__ import annotations

import torch
from monai.losses import SoftclDiceLoss
from torch.nn import functional as F

from vesselbench_monai.settings import NetConfig

DIMS = (1, 2, 3)
SMOOTH = 1.0


def sample_losses(
    logits: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, config: NetConfig
) -> dict[str, torch.Tensor]:
    """The loss that ``config.loss`` names: ``loss`` and its terms without their weights, each [B]."""
    probability = torch.sigmoid(logits)
    if config.loss == "dice_focal":
        terms = {"loss_focal": focal_loss(logits, mask, weight, config.focal_gamma)}
    else:
        terms = {"loss_ce": cross_entropy(logits, mask, weight)}
    overlap = terms["loss_dice"] = soft_dice_loss(probability, mask, weight)
    pixels = next(iter(terms.values()))
    if config.loss == "dice_ce_cldice":
        terms["loss_cldice"] = soft_cldice_loss(probability, mask, weight, config.cldice_steps)
        overlap = (1 - config.cldice_share) * overlap + config.cldice_share * terms["loss_cldice"]
    return {"loss": pixels + config.dice_weight * overlap, **terms}


def pixel_mean(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted mean over the pixels of each sample, [B]; 0 for a sample without weight."""
    return (value * weight).sum(DIMS) / weight.sum(DIMS).clamp(min=1)


def cross_entropy(logits: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy, the mean over the weighted pixels, [B]."""
    return pixel_mean(F.binary_cross_entropy_with_logits(logits, mask, reduction="none"), weight)


def focal_loss(logits: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, gamma: float) -> torch.Tensor:
    """(1 - p_t)^gamma times cross-entropy, without class weights, the mean over the weighted pixels, [B]
    (Lin et al. 2017, eq. 4)."""
    entropy = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    return pixel_mean((1 - torch.exp(-entropy)) ** gamma * entropy, weight)


def soft_dice_loss(probability: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """1 - (2 Σpt + 1) / (Σp + Σt + 1) per sample over the weighted pixels, [B] (Milletari et al. 2016, smoothed)."""
    overlap = (probability * mask * weight).sum(DIMS)
    size = ((probability + mask) * weight).sum(DIMS)
    return 1 - (2 * overlap + SMOOTH) / (size + SMOOTH)


def soft_cldice_loss(probability: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor, steps: int) -> torch.Tensor:
    """1 - soft clDice, [B]: the harmonic mean of how much of the predicted soft skeleton lies in the mask and how much
    of the mask's lies in the prediction (Shit et al. 2021, eq. 1 and algorithm 1), by MONAI with `steps` erosions.
    """
    loss: torch.Tensor = SoftclDiceLoss(iter_=steps, reduction="none")(probability * weight, mask * weight)
    return loss.flatten()
