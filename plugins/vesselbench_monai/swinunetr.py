"""Swin UNETR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from vesselbench_monai.baseline import Baseline
from vesselbench_monai.settings import NetConfig

if TYPE_CHECKING:
    import torch


class SwinUNETRConfig(NetConfig):
    """Settings of `swinunetr`."""

    features: int = Field(default=12, ge=12, multiple_of=12)
    """Width of the first stage; each of the three below is twice as wide."""
    attention_window: int = Field(default=7, ge=2)
    """Side, in patches of 2 pixels at the first stage, of the windows within which patches attend to each other."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of features dropped in training."""


class SwinUNETR(Baseline):
    """Swin transformer encoder with a convolutional decoder (Hatamizadeh et al. 2022), in 2D."""

    name = "swinunetr"
    Config = SwinUNETRConfig

    def network(self, config: SwinUNETRConfig, inputs: int, outputs: int) -> torch.nn.Module:
        from monai.networks import nets

        return nets.SwinUNETR(  # type: ignore[no-any-return]
            in_channels=inputs,
            out_channels=outputs,
            window_size=config.attention_window,
            feature_size=config.features,
            drop_rate=config.dropout,
            spatial_dims=2,
        )
