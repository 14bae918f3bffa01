"""What all fully convolutional baselines can be told (no torch)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

CHANNELS = 6
"""Input channels: the image and its local contrast, see `collate.channels_of`."""


class NetConfig(BaseModel):
    """Settings that every baseline shares; a model's own Config adds those of its network."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    neighbourhood: int = Field(default=49, ge=3)
    """Side in pixels of the square over which the local contrast of the image is taken; some vessels' widths."""
    window: int = Field(default=192, ge=16)
    """Side in pixels of the windows in which larger images are predicted; best the size of the training crops."""
    overlap: float = Field(default=0.25, ge=0, lt=1)
    """Share of a window that the next one covers again."""
    views: Literal[1, 4, 8] = 1
    """Predictions that are averaged: 1, the image as it is; 4, also mirrored; 8, also transposed."""
    loss: Literal["dice_ce", "dice_focal", "dice_ce_cldice"] = "dice_ce"
    """dice_ce: soft Dice + cross-entropy; dice_focal: soft Dice + focal loss; dice_ce_cldice: a share of soft Dice
    gives way to soft clDice, which asks for unbroken centre lines."""
    dice_weight: float = Field(default=1.0, ge=0)
    """Weight of the overlap terms (soft Dice, soft clDice) beside the pixel term."""
    cldice_share: float = Field(default=0.5, ge=0, le=1)
    """With dice_ce_cldice: share of soft clDice in the overlap terms."""
    cldice_steps: int = Field(default=5, ge=1)
    """With dice_ce_cldice: erosions of the soft skeleton; at least half the width in pixels of the widest vessel."""
    focal_gamma: float = Field(default=2.0, ge=0)
    """With dice_focal: how much well classified pixels are discounted."""

    @property
    def multiple(self) -> int:
        """The sides of an input must be multiples of this; 32 unless the network is built otherwise: five halvings."""
        return 32

    @model_validator(mode="after")
    def _the_window_fits_the_levels(self) -> NetConfig:
        unit = self.multiple
        if self.window % unit or self.window < 2 * unit:
            raise ValueError(
                f"window {self.window} must be a multiple of {unit} and at least {2 * unit} for these levels"
            )
        return self


Channels = Annotated[int, Field(ge=1)]


class LevelsConfig(NetConfig):
    """Settings of a network whose levels below the first each halve the resolution."""

    channels: list[Channels] = Field(default=[16, 32, 64, 128], min_length=2)
    """Feature channels per level; each level below the first halves the resolution."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of features dropped in training."""

    @property
    def multiple(self) -> int:
        """The sides of an input must be multiples of this: each level but the first halves them."""
        return int(2 ** (len(self.channels) - 1))

    @property
    def strides(self) -> tuple[int, ...]:
        """One stride per step from a level to the next."""
        return (2,) * (len(self.channels) - 1)
