"""MONAI's residual UNet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from vesselbench_monai.baseline import Baseline
from vesselbench_monai.settings import LevelsConfig

if TYPE_CHECKING:
    import torch


class UNetConfig(LevelsConfig):
    """Settings of `unet`."""

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

        return nets.UNet(  # type: ignore[no-any-return]
            spatial_dims=2,
            in_channels=inputs,
            out_channels=outputs,
            channels=tuple(config.channels),
            strides=config.strides,
            num_res_units=config.residual_units,
            act=config.activation,
            norm=("instance", {"affine": True}),  # batch norm would differ between processes
            dropout=config.dropout,
        )
