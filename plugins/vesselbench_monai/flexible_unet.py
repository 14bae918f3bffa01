"""FlexibleUNet: an EfficientNet or ResNet as the encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from vesselbench_monai.baseline import Baseline
from vesselbench_monai.settings import NetConfig

if TYPE_CHECKING:
    import torch

CLASSIFIER = ("_conv_head", "_bn1", "_fc", "fc")
"""Parts of the encoder that only a classifier uses: no gradient would ever reach them."""


class FlexibleUNetConfig(NetConfig):
    """Settings of `flexible_unet`."""

    encoder: Literal["efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "resnet18", "resnet34"] = (
        "efficientnet-b0"
    )
    """Kind of the encoder; its weights are random: nothing is downloaded."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of features dropped in training."""


class FlexibleUNet(Baseline):
    """U-Net decoder on a classification network (Tan & Le 2019; He et al. 2016), instance instead of batch norm."""

    name = "flexible_unet"
    Config = FlexibleUNetConfig

    def network(self, config: FlexibleUNetConfig, inputs: int, outputs: int) -> torch.nn.Module:
        from monai.networks import nets
        from torch.nn import Identity

        from vesselbench_monai.norms import instance_norms

        net = nets.FlexibleUNet(
            in_channels=inputs, out_channels=outputs, backbone=config.encoder, dropout=config.dropout
        )
        for head in CLASSIFIER:
            if hasattr(net.encoder, head):
                setattr(net.encoder, head, Identity())
        return instance_norms(net)
