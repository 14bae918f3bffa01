"""DynUNet: nnU-Net's network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from vesselbench_monai.baseline import Baseline
from vesselbench_monai.settings import Channels, LevelsConfig

if TYPE_CHECKING:
    import torch


class DynUNetConfig(LevelsConfig):
    """Settings of `dynunet`."""

    channels: list[Channels] = Field(default=[16, 32, 64, 128, 256], min_length=3)
    """Feature channels per level; each level below the first halves the resolution."""
    supervised: int = Field(default=2, ge=0)
    """Lower levels whose maps enter the loss too, each with half the weight of the one above (deep supervision)."""
    residual: bool = False
    """Residual blocks instead of plain ones."""

    @model_validator(mode="after")
    def _there_are_levels_to_supervise(self) -> DynUNetConfig:
        most = len(self.channels) - 2
        if self.supervised > most:
            raise ValueError(f"supervised {self.supervised} is more than the {most} levels between first and last")
        return self


class DynUNet(Baseline):
    """nnU-Net's architecture in 2D: instance norm, leaky ReLU, deep supervision (Isensee et al. 2021)."""

    name = "dynunet"
    Config = DynUNetConfig

    def network(self, config: DynUNetConfig, inputs: int, outputs: int) -> torch.nn.Module:
        from monai.networks import nets

        class Unstacked(nets.DynUNet):  # type: ignore[misc]
            """MONAI stacks the supervised maps, the best resolved first, along a dimension of their own."""

            def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
                output = super().forward(image)
                return list(output.unbind(1)) if output.ndim == 5 else [output]

        return Unstacked(
            spatial_dims=2,
            in_channels=inputs,
            out_channels=outputs,
            kernel_size=[3] * len(config.channels),
            strides=[1, *config.strides],
            upsample_kernel_size=config.strides,
            filters=config.channels,
            dropout=config.dropout or None,
            deep_supervision=config.supervised > 0,
            deep_supr_num=max(1, config.supervised),
            res_block=config.residual,
        )
