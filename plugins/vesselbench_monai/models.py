"""The models and their settings; torch is imported when one is built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vesselbench import Example, Task

if TYPE_CHECKING:
    import torch

    from vesselbench.grids import Grids


class UNetConfig(BaseModel):
    """Settings of `unet`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    channels: list[Annotated[int, Field(ge=1)]] = Field(default=[16, 32, 64, 128], min_length=2)
    """Feature channels per level; each level below the first halves the resolution."""
    residual_units: int = Field(default=2, ge=0)
    """Residual units per level; 0: one plain convolution."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of features dropped in training."""
    neighbourhood: int = Field(default=49, ge=3)
    """Side in pixels of the square over which the local contrast of the image is taken; some vessels' widths."""
    window: int = Field(default=192, ge=16)
    """Side in pixels of the windows in which larger images are predicted; best the size of the training crops."""
    overlap: float = Field(default=0.25, ge=0, lt=1)
    """Share of a window that the next one covers again."""
    dice_weight: float = Field(default=1.0, ge=0)
    """Weight of the soft Dice loss beside binary cross-entropy."""

    @property
    def multiple(self) -> int:
        """The sides of an input must be multiples of this: each level but the first halves them."""
        return int(2 ** (len(self.channels) - 1))

    @model_validator(mode="after")
    def _the_window_fits_the_levels(self) -> UNetConfig:
        if self.window % self.multiple or self.window < 2 * self.multiple:
            unit = self.multiple
            raise ValueError(
                f"window {self.window} must be a multiple of {unit} and at least {2 * unit} for these levels"
            )
        return self


class UNet:
    """MONAI's residual UNet in 2D with one sigmoid channel per target, trained on Dice + cross-entropy."""

    name = "unet"
    Config = UNetConfig

    def build(self, config: UNetConfig, task: Task) -> torch.nn.Module:
        from vesselbench_monai.unet import UNetModule

        return UNetModule(config, task)

    def collator(self, config: UNetConfig, task: Task) -> Callable[[list[Example]], dict[str, Any]]:
        from vesselbench_monai.collate import Collator

        return Collator(task, config.multiple, config.neighbourhood)

    def grids(self, config: UNetConfig, size: tuple[int, int]) -> Grids:  # noqa: ARG002 - the contract's argument
        """Where resolution is lost for an image of (H, W): nowhere."""
        from vesselbench_monai.grids import grids

        return grids(size)
