"""MONAI's UNet with the two methods of a vesselbench model."""

from __future__ import annotations

import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import UNet
from torch.nn import functional as F

from vesselbench import Batch, Task
from vesselbench_monai.collate import CHANNELS
from vesselbench_monai.models import UNetConfig

ALL_AT_ONCE = 1_000_000
WINDOWS = 16
"""Windows per call of the net when this process is alone: memory does not grow with the image."""


class UNetModule(torch.nn.Module):
    """UNet with residual units (Kerfoot et al. 2019), one output channel per target."""

    def __init__(self, config: UNetConfig, task: Task) -> None:
        super().__init__()
        self.net = UNet(
            spatial_dims=2,
            in_channels=CHANNELS,
            out_channels=len(task.targets),
            channels=tuple(config.channels),
            strides=(2,) * (len(config.channels) - 1),
            num_res_units=config.residual_units,
            norm=("instance", {"affine": True}),  # batch norm would differ between processes
            dropout=config.dropout,
        )
        self.dice_weight, self.window, self.overlap = config.dice_weight, config.window, config.overlap

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Binary cross-entropy + soft Dice loss, the mean over the samples, in fp32."""
        logits = pick(self.net(batch.inputs["image"]), batch)
        mask = batch.inputs["mask"].float()
        weight = batch.inputs["weight"].float()
        entropy = pixel_mean(F.binary_cross_entropy_with_logits(logits, mask, reduction="none"), weight).mean()
        dice = soft_dice_loss(torch.sigmoid(logits), mask, weight).mean()
        return {
            "loss": entropy + self.dice_weight * dice,
            "loss_ce": entropy.detach(),
            "loss_dice": dice.detach(),
        }

    def predict(self, batch: Batch) -> list[torch.Tensor]:
        """Probability [H,W] per sample at its own size: the padding is cut off again.

        Images larger than the window are predicted in overlapping windows, blended with Gaussian weights: instance
        norm sees then what it saw in training. On several processes all windows go through the net in one call:
        every rank of a ZeRO-3 job must make equally many calls, whatever the sizes of its images.
        """
        image = batch.inputs["image"]
        size = tuple(min(self.window, length) for length in image.shape[2:])
        logits = sliding_window_inference(
            image,
            size,
            sw_batch_size=WINDOWS if is_alone() else ALL_AT_ONCE,
            predictor=self.net,
            overlap=self.overlap,
            mode="gaussian",
        )
        probability = torch.sigmoid(pick(logits, batch))
        return [probability[i, 0, :height, :width] for i, (height, width) in enumerate(batch.sizes)]


def is_alone() -> bool:
    """Whether no other process takes part in this job."""
    return not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1


def pick(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """float32 [B,1,H,W]: of logits [B,targets,H,W] the channel of each sample's target."""
    index = batch.inputs["channel"].view(-1, 1, 1, 1).expand(-1, 1, *logits.shape[2:])
    return logits.float().gather(1, index)


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
