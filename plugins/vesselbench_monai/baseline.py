"""What every baseline is: a MONAI network, which its own file names, between one collator and one adapter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from vesselbench import Example, Task
from vesselbench_monai.settings import CHANNELS, NetConfig

if TYPE_CHECKING:
    import torch

    from vesselbench.grids import Grids
    from vesselbench.traits import Choice, Traits


class Baseline(ABC):
    """A ModelPlugin from a network. A subclass gives `name`, `Config` and `network`; torch is imported there only."""

    name: ClassVar[str]
    Config: ClassVar[type[NetConfig]]

    @abstractmethod
    def network(self, config: Any, inputs: int, outputs: int) -> torch.nn.Module:
        """float32 [B,inputs,H,W] to logits [B,outputs,H,W]; while training it may give several such maps, a list with
        the best resolved one first (deep supervision). H and W are multiples of ``config.multiple``.
        """

    def build(self, config: NetConfig, task: Task) -> torch.nn.Module:
        from vesselbench_monai.patches import PatchModule

        return PatchModule(self.network(config, CHANNELS, len(task.targets)), config)

    def collator(self, config: NetConfig, task: Task) -> Callable[[list[Example]], dict[str, Any]]:
        from vesselbench_monai.collate import Collator

        return Collator(task, config.multiple, config.neighbourhood)

    def leaf_modules(self) -> list[type]:
        """Blocks of all networks that ZeRO-3 gathers at once."""
        from vesselbench_monai.blocks import BLOCKS

        return BLOCKS

    def rules(self, config: NetConfig, traits: Traits) -> dict[str, Choice]:
        """Self-configuration: see `vesselbench_monai.rules`."""
        from vesselbench_monai.rules import rules

        return rules(config, traits)

    def grids(self, config: NetConfig, size: tuple[int, int]) -> Grids:  # noqa: ARG002 - the contract's argument
        """Where resolution is lost for an image of (H, W): nowhere."""
        from vesselbench_monai.grids import grids

        return grids(size)
