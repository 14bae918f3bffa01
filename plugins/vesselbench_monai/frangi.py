"""Frangi's filter as a model: nothing is trained, the validation set chooses what it cannot know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vesselbench import Example, Task

if TYPE_CHECKING:
    import torch

    from vesselbench.grids import Grids

Channel = Literal["green", "grey"]
Sigma = Annotated[float, Field(gt=0)]


class FrangiConfig(BaseModel):
    """Settings of `frangi`; what is left out is chosen on the validation set."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    channel: Channel | None = None
    """What the filter sees: the green channel, or the mean of all three. Default: chosen on the validation set."""
    dark: bool | None = None
    """Vessels are darker than their surroundings. Default: chosen on the validation set."""
    sigmas: Annotated[list[Sigma], Field(min_length=1)] | None = None
    """Scales of the ridges in pixels of the image's own size. Default: chosen on the validation set among
    [1, 2], [2, 3, 4] and [3, 5, 7]."""


class Frangi:
    """Frangi's vesselness (Frangi et al. 1998) inside the field of view, as a probability: see `ridge_response`."""

    name = "frangi"
    Config = FrangiConfig

    def choices(self, config: FrangiConfig) -> Sequence[FrangiConfig]:
        """Every combination of what the settings leave open."""
        channels: tuple[Channel, ...] = ("green", "grey") if config.channel is None else (config.channel,)
        sides = (True, False) if config.dark is None else (config.dark,)
        scales = ([1.0, 2.0], [2.0, 3.0, 4.0], [3.0, 5.0, 7.0]) if config.sigmas is None else (config.sigmas,)
        return [FrangiConfig(channel=c, dark=d, sigmas=s) for c, d, s in product(channels, sides, scales)]

    def build(self, config: FrangiConfig, task: Task) -> torch.nn.Module:  # noqa: ARG002 - the contract's argument
        """The filter. Raises UserError for settings that are not chosen yet."""
        from vesselbench_monai.ridges import RidgeModule

        return RidgeModule(config.channel, config.dark, config.sigmas)

    def collator(self, config: FrangiConfig, task: Task) -> Callable[[list[Example]], dict[str, Any]]:  # noqa: ARG002
        from vesselbench_monai.ridges import collate

        return collate

    def grids(self, config: FrangiConfig, size: tuple[int, int]) -> Grids:  # noqa: ARG002 - the contract's argument
        """Where resolution is lost for an image of (H, W): nowhere."""
        from vesselbench_monai.grids import grids

        return grids(size)
