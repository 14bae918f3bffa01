"""The official losses of masks, on points and on all pixels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Config = dict[str, Any]
EPS = 1e-4 + 1.1920928955078125e-07
"""Added to the numbers of points and masks before dividing by them: 1e-4 and float32's epsilon."""


def repeated(rows: list[int], count: int) -> list[int]:
    """The objects of one sample, repeated in turn until there are `count`.

    (The official code draws `count` of more than that at random; no fixture has so many.)
    """
    assert 0 < len(rows) <= count
    return [rows[index % len(rows)] for index in range(count)]


def at_points(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values [N,P] of maps [N,h,w] at (x, y) in [0,1]; 0 outside."""
    return F.grid_sample(maps[:, None], 2 * points[:, None] - 1, align_corners=False)[:, 0, 0]


def draw_points(logits: Tensor, settings: Config) -> Tensor:
    """Points [N,P,2]: of 3P uniform ones the 0.75 P with the smallest |logit|, and 0.25 P new ones (PointRend)."""
    count = settings["num_points"]
    kept = int(settings["importance_sample_ratio"] * count)
    uniform = torch.rand(len(logits), int(settings["oversample_ratio"] * count), 2, dtype=logits.dtype)
    index = (-at_points(logits, uniform).abs()).topk(kept, dim=1).indices
    chosen = uniform.gather(1, index[..., None].expand(-1, -1, 2))
    return torch.cat([chosen, torch.rand(len(logits), count - kept, 2, dtype=logits.dtype)], 1)


def losses(logits: Tensor, targets: Tensor, settings: Config, eps: float) -> tuple[Tensor, Tensor]:
    """loss_mask and loss_dice of logits and targets [N,P], with their weights; `eps` as above, 0 for the dense ones."""
    masks, points = logits.shape
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum() / (masks * points + eps)
    probability, one = logits.sigmoid(), settings["dice_eps"]
    overlap = (2 * (probability * targets).sum(1) + one) / (probability.sum(1) + targets.sum(1) + one)
    return settings["mask_weight"] * entropy, settings["dice_weight"] * (1 - overlap).sum() / (masks + eps)
