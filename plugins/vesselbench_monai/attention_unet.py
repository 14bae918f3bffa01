"""Attention U-Net."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vesselbench_monai.baseline import Baseline
from vesselbench_monai.settings import LevelsConfig

if TYPE_CHECKING:
    import torch


class AttentionUNetConfig(LevelsConfig):
    """Settings of `attention_unet`."""


class AttentionUNet(Baseline):
    """U-Net with attention gates on its skip connections (Oktay et al. 2018), with instance instead of batch norm."""

    name = "attention_unet"
    Config = AttentionUNetConfig

    def network(self, config: AttentionUNetConfig, inputs: int, outputs: int) -> torch.nn.Module:
        from monai.networks import nets

        from vesselbench_monai.norms import instance_norms

        return instance_norms(
            nets.AttentionUnet(
                spatial_dims=2,
                in_channels=inputs,
                out_channels=outputs,
                channels=tuple(config.channels),
                strides=config.strides,
                dropout=config.dropout,
            )
        )
