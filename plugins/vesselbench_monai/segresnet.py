"""SegResNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from vesselbench_monai.baseline import Baseline
from vesselbench_monai.settings import NetConfig

if TYPE_CHECKING:
    import torch


class SegResNetConfig(NetConfig):
    """Settings of `segresnet`."""

    filters: int = Field(default=16, ge=1)
    """Feature channels of the first level; each level below has twice as many."""
    blocks: list[int] = Field(default=[1, 2, 2, 4], min_length=2)
    """Residual blocks per level of the encoder; the decoder has one per level."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of features dropped in training."""

    @property
    def multiple(self) -> int:
        """The sides of an input must be multiples of this: each level but the first halves them."""
        return int(2 ** (len(self.blocks) - 1))


class SegResNet(Baseline):
    """Residual encoder and light decoder (Myronenko 2018), without the autoencoder branch."""

    name = "segresnet"
    Config = SegResNetConfig

    def network(self, config: SegResNetConfig, inputs: int, outputs: int) -> torch.nn.Module:
        from monai.networks import nets

        return nets.SegResNet(  # type: ignore[no-any-return]
            spatial_dims=2,
            init_filters=config.filters,
            in_channels=inputs,
            out_channels=outputs,
            dropout_prob=config.dropout or None,
            norm=("instance", {"affine": True}),
            blocks_down=tuple(config.blocks),
            blocks_up=(1,) * (len(config.blocks) - 1),
        )
