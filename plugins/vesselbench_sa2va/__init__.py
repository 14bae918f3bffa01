"""The Sa2VA plugin: InternVL3 with LoRA reads image and phrase, SAM 2 draws the mask. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vesselbench import Example, Task, hookimpl
from vesselbench_sa2va.config import Sa2VAConfig

if TYPE_CHECKING:
    from torch import nn

    from vesselbench.types import Footprint


class Sa2VA:
    """The model `sa2va`. `task` is not used: the phrase says what is wanted."""

    name = "sa2va"
    Config = Sa2VAConfig

    def build(self, config: Sa2VAConfig, task: Task) -> nn.Module:  # noqa: ARG002 - the contract's argument
        """The module, on CPU. Raises UserError for settings that cannot be met."""
        from vesselbench_sa2va.building import build

        return build(config)

    def collator(self, config: Sa2VAConfig, task: Task) -> Callable[[list[Example]], dict[str, Any]]:  # noqa: ARG002
        """See `collate.Collator`. Raises UserError when the tokenizer is missing."""
        from vesselbench_sa2va.building import shape_of, tokenizer_for
        from vesselbench_sa2va.collate import Collator

        return Collator(config, shape_of(config), tokenizer_for(config))

    def base_weights(self, config: Sa2VAConfig) -> dict[str, str]:
        """SHA-256 of every file that the weights come from, by path; empty for random weights."""
        from vesselbench_sa2va.archives import open_archive, sha256_of

        return sha256_of([file for path in config.weights for file in open_archive(path).files])

    def leaf_modules(self) -> list[type]:
        """Transformer blocks: ZeRO-3 gathers each of them at once, which halves its cost per step."""
        from vesselbench_sa2va.building import leaf_modules

        return leaf_modules()

    def footprint(self, config: Sa2VAConfig, task: Task) -> Footprint:  # noqa: ARG002
        """Parameters per part, counted without any memory for them."""
        from vesselbench_sa2va.footprint import footprint

        return footprint(config)


@hookimpl
def register_models(register: Callable[[Sa2VA], None]) -> None:
    register(Sa2VA())


__all__ = ["Sa2VA", "Sa2VAConfig", "register_models"]
