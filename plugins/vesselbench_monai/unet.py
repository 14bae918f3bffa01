"""MONAI's UNet with the two methods of a vesselbench model."""

from __future__ import annotations

import torch
from monai.networks.nets import UNet
from torch.nn import functional as F

from vesselbench import Batch, Task
from vesselbench_monai import UNetConfig


class UNetModule(torch.nn.Module):
    """UNet with residual units (Kerfoot et al. 2019), one output channel per target."""

    def __init__(self, config: UNetConfig, task: Task) -> None:
        super().__init__()
        norm = (
            ("group", {"num_groups": 8, "affine": True}) if config.norm == "group" else ("instance", {"affine": True})
        )
        self.net = UNet(
            spatial_dims=2,
            in_channels=task.channels,
            out_channels=len(task.targets),
            channels=tuple(config.channels),
            strides=(2,) * (len(config.channels) - 1),
            num_res_units=config.residual_units,
            norm=norm,
            dropout=config.dropout,
        )
        self.dice_weight = config.dice_weight

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Binary cross-entropy + soft Dice loss, the mean over the samples, in fp32."""
        logits, mask = self._logits(batch), batch.inputs["mask"].float()
        weight = batch.inputs["weight"].float()
        entropy = pixel_mean(F.binary_cross_entropy_with_logits(logits, mask, reduction="none"), weight).mean()
        dice = soft_dice_loss(torch.sigmoid(logits), mask, weight).mean()
        return {
            "loss": entropy + self.dice_weight * dice,
            "loss_ce": entropy.detach(),
            "loss_dice": dice.detach(),
        }

    def predict(self, batch: Batch) -> list[torch.Tensor]:
        """Probability [H,W] per sample at its own size: the padding is cut off again."""
        probability = torch.sigmoid(self._logits(batch))
        return [probability[i, 0, :height, :width] for i, (height, width) in enumerate(batch.sizes)]

    def _logits(self, batch: Batch) -> torch.Tensor:
        """float32 [B,1,H,W]: the channel of each sample's target."""
        logits: torch.Tensor = self.net(batch.inputs["image"]).float()
        index = batch.inputs["channel"].view(-1, 1, 1, 1).expand(-1, 1, *logits.shape[2:])
        return logits.gather(1, index)


def pixel_mean(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted mean over the pixels of each sample, [B]; 0 for a sample without weight."""
    dims = (1, 2, 3)
    return (value * weight).sum(dims) / weight.sum(dims).clamp(min=1)


def soft_dice_loss(probability: torch.Tensor, mask: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """1 - (2 Σpt + 1) / (Σp + Σt + 1) per sample over the weighted pixels, [B] (Milletari et al. 2016, smoothed)."""
    dims = (1, 2, 3)
    overlap = (probability * mask * weight).sum(dims)
    size = ((probability + mask) * weight).sum(dims)
    return 1 - (2 * overlap + 1) / (size + 1)
