"""MONAI's residual UNet."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from vesselbench_monai.baseline import Baseline
from vesselbench_monai.settings import LevelsConfig

if TYPE_CHECKING:
    import torch


class UNetConfig(LevelsConfig):
    """Settings of `unet`."""

    head: int | None = Field(default=8, ge=1)
    """Feature channels at full resolution, from which a 1x1 convolution makes the logits; null: MONAI's own net, which
    has one channel per output there, instance-normalised."""
    residual_units: int = Field(default=2, ge=0)
    """Residual units per level; 0: one plain convolution."""
    activation: Literal["leakyrelu", "relu", "prelu"] = "leakyrelu"
    """prelu is MONAI's own choice; its backward pass took 28 % of a step in bfloat16 on a processor (measured)."""


class UNet(Baseline):
    """UNet with residual units (Kerfoot et al. 2019)."""

    name = "unet"
    Config = UNetConfig

    def network(self, config: UNetConfig, inputs: int, outputs: int) -> torch.nn.Module:
        from monai.networks import nets
        from torch import nn

        net: nn.Module = nets.UNet(
            spatial_dims=2,
            in_channels=inputs,
            out_channels=config.head or outputs,
            channels=tuple(config.channels),
            strides=config.strides,
            num_res_units=config.residual_units,
            act=config.activation,
            norm=("instance", {"affine": True}),  # batch norm would differ between processes
            dropout=config.dropout,
        )
        if config.head is None:
            return net
        parts = {"features": net, "activation": nn.LeakyReLU(0.01), "logits": nn.Conv2d(config.head, outputs, 1)}
        return nn.Sequential(OrderedDict(parts))
