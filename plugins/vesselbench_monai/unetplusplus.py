"""UNet++."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from vesselbench_monai.baseline import Baseline
from vesselbench_monai.settings import Channels, NetConfig

if TYPE_CHECKING:
    import torch


class UNetPlusPlusConfig(NetConfig):
    """Settings of `unetplusplus`."""

    channels: list[Channels] = Field(default=[16, 16, 32, 64, 128, 16], min_length=6, max_length=6)
    """Feature channels of the five levels, and of the last node at full resolution."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of features dropped in training."""

    @property
    def multiple(self) -> int:
        """The sides of an input must be multiples of this: four levels halve them."""
        return 16


class UNetPlusPlus(Baseline):
    """Nested UNet with deep supervision (Zhou et al. 2018); the prediction is the deepest path's."""

    name = "unetplusplus"
    Config = UNetPlusPlusConfig

    def network(self, config: UNetPlusPlusConfig, inputs: int, outputs: int) -> torch.nn.Module:
        from monai.networks import nets

        class DeepestFirst(nets.BasicUNetPlusPlus):  # type: ignore[misc]
            """MONAI gives the shallowest of the four maps first."""

            def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
                return list(reversed(super().forward(image)))

        return DeepestFirst(
            spatial_dims=2,
            in_channels=inputs,
            out_channels=outputs,
            features=tuple(config.channels),
            deep_supervision=True,
            dropout=config.dropout,
        )
