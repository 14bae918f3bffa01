"""Blocks of MONAI's networks: what ZeRO-3 gathers at once, so that its hooks run once for each of them."""

from __future__ import annotations

from monai.networks.blocks.convolutions import Convolution, ResidualUnit
from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetResBlock
from monai.networks.blocks.segresnet_block import ResBlock
from monai.networks.nets.attentionunet import ConvBlock
from monai.networks.nets.basic_unet import TwoConv
from monai.networks.nets.efficientnet import MBConvBlock
from monai.networks.nets.swin_unetr import SwinTransformerBlock

BLOCKS: list[type] = [
    Convolution,
    ResidualUnit,
    ConvBlock,
    TwoConv,
    UnetBasicBlock,
    UnetResBlock,
    ResBlock,
    SwinTransformerBlock,
    MBConvBlock,
]
"""Of nested ones the outermost counts; none is a whole level of a net, so that little is gathered at a time."""
