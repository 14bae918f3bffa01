"""MONAI networks as vesselbench models, and Frangi's filter beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vesselbench import hookimpl


@hookimpl
def register_models(register: Callable[[Any], None]) -> None:
    from vesselbench_monai.attention_unet import AttentionUNet
    from vesselbench_monai.dynunet import DynUNet
    from vesselbench_monai.flexible_unet import FlexibleUNet
    from vesselbench_monai.frangi import Frangi
    from vesselbench_monai.segresnet import SegResNet
    from vesselbench_monai.swinunetr import SwinUNETR
    from vesselbench_monai.unet import UNet
    from vesselbench_monai.unetplusplus import UNetPlusPlus

    for model in (UNet, UNetPlusPlus, AttentionUNet, DynUNet, SegResNet, SwinUNETR, FlexibleUNet):
        register(model())
    register(Frangi())
