"""MONAI networks as vesselbench models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vesselbench import hookimpl

if TYPE_CHECKING:
    from vesselbench_monai.baseline import Baseline


@hookimpl
def register_models(register: Callable[[Baseline], None]) -> None:
    from vesselbench_monai.attention_unet import AttentionUNet
    from vesselbench_monai.dynunet import DynUNet
    from vesselbench_monai.flexible_unet import FlexibleUNet
    from vesselbench_monai.segresnet import SegResNet
    from vesselbench_monai.swinunetr import SwinUNETR
    from vesselbench_monai.unet import UNet
    from vesselbench_monai.unetplusplus import UNetPlusPlus

    for model in (UNet, UNetPlusPlus, AttentionUNet, DynUNet, SegResNet, SwinUNETR, FlexibleUNet):
        register(model())
