"""The Sa2VA plugin: InternVL3 with LoRA reads image and phrase, SAM 2 draws the mask. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesselbench import Example, Sample, Task, hookimpl
from vesselbench_sa2va.config import Sa2VAConfig

if TYPE_CHECKING:
    from torch import nn

    from vesselbench.grids import Grids
    from vesselbench.hookspecs import Reopened
    from vesselbench.types import Footprint
    from vesselbench_sa2va.model import Sa2VAModule


class Sa2VA:
    """The model `sa2va`. `task` is not used: the phrase says what is wanted."""

    name = "sa2va"
    Config = Sa2VAConfig

    def build(self, config: Sa2VAConfig, task: Task) -> nn.Module:  # noqa: ARG002 - the contract's argument
        """The module, on CPU. Raises UserError for settings that cannot be met."""
        from vesselbench_sa2va.building import build

        return build(config)

    def skeleton(self, config: Sa2VAConfig, task: Task) -> nn.Module | None:  # noqa: ARG002
        """The module without memory for its weights, for `fill`; None when they are random and drawn at once."""
        from vesselbench_sa2va.building import skeleton

        return skeleton(config)

    def fill(self, module: Sa2VAModule, config: Sa2VAConfig, settle: Callable[[nn.Parameter], None]) -> None:
        """Read a skeleton's weights; each parameter is settled (split over the ranks, say) before the next is read."""
        from vesselbench_sa2va.building import fill

        fill(module, config, settle)

    def collator(self, config: Sa2VAConfig, task: Task) -> Callable[[list[Example]], dict[str, Any]]:  # noqa: ARG002
        """See `collate.Collator`. Raises UserError when the tokenizer is missing."""
        from vesselbench_sa2va.building import shape_of, tokenizer_for
        from vesselbench_sa2va.collate import Collator

        return Collator(config, shape_of(config), tokenizer_for(config))

    def training_collator(self, config: Sa2VAConfig, task: Task) -> Callable[[list[Example]], dict[str, Any]]:  # noqa: ARG002
        """The same for training: with drawn prompts and conversations where the settings ask for them."""
        from vesselbench_sa2va.building import shape_of, tokenizer_for
        from vesselbench_sa2va.collate import Collator

        return Collator(config, shape_of(config), tokenizer_for(config), training=True)

    def check_samples(self, config: Sa2VAConfig, sets: Mapping[str, Sequence[Sample]]) -> None:
        """See `collate.Collator.check_texts`; phrases are turns of one conversation in the set "train" alone."""
        from vesselbench_sa2va.building import refuse_unmet, shape_of, tokenizer_for
        from vesselbench_sa2va.collate import Collator

        refuse_unmet(config)
        shape, tokenizer = shape_of(config), tokenizer_for(config)
        for name, samples in sets.items():
            Collator(config, shape, tokenizer, training=name == "train").check_texts(samples)

    def feature_content(self, inputs: dict[str, Any]) -> list[list[Any]]:
        """For each image of a batch the tensors that decide what the frozen networks make of it: tiles and square."""
        tiles = inputs["tiles"].split(inputs["tile_counts"].tolist())
        return [list(pair) for pair in zip(tiles, inputs["images"], strict=True)]

    def by_image(self, config: Sa2VAConfig) -> bool:
        """Whether the phrases of an image are one conversation."""
        return config.phrases == "turns"

    def reads_prompt(self, config: Sa2VAConfig) -> bool:  # noqa: ARG002 - the contract's argument
        """The phrase of a sample decides what is drawn."""
        return True

    def part_of(self, name: str) -> str:
        """The part of the model that a parameter belongs to."""
        from vesselbench_sa2va.footprint import part_of

        return part_of(name)

    def alternatives(self, config: Sa2VAConfig) -> list[list[str]]:
        """Parts of which a training may reach one only."""
        from vesselbench_sa2va.trainable import alternatives

        return alternatives(config)

    def base_weights(self, config: Sa2VAConfig) -> dict[str, str]:
        """SHA-256 of every file that weights and tokens come from, by path; empty for random weights."""
        from vesselbench_sa2va.archives import meaning_of, open_archive, sha256_of

        files = [file for path in config.weights for file in open_archive(path).files]
        return sha256_of([*files, *(meaning_of(config.tokenizer) if config.tokenizer else [])])

    def leaf_modules(self) -> list[type]:
        """Transformer blocks: ZeRO-3 gathers each of them at once, which halves its cost per step."""
        from vesselbench_sa2va.building import leaf_modules

        return leaf_modules()

    def footprint(self, config: Sa2VAConfig, task: Task) -> Footprint:  # noqa: ARG002
        """Parameters per part, counted without any memory for them."""
        from vesselbench_sa2va.footprint import footprint

        return footprint(config)

    def export(self, module: Sa2VAModule, config: Sa2VAConfig, folder: Path) -> dict[str, list[str]]:
        """peft's adapter and merged weights under the official keys; see `export.export`."""
        from vesselbench_sa2va.export import export

        return export(module, config, folder)

    def reopen(self, config: Sa2VAConfig, task: Task, folder: Path) -> dict[str, Reopened]:  # noqa: ARG002
        """Both forms from the files alone; see `export.reopen`."""
        from vesselbench_sa2va.export import reopen

        return reopen(config, folder)

    def grids(self, config: Sa2VAConfig, size: tuple[int, int]) -> Grids:
        """Where resolution is lost for an image of (H, W)."""
        from vesselbench_sa2va.building import shape_of
        from vesselbench_sa2va.grids import grids

        return grids(config, shape_of(config), size)


@hookimpl
def register_models(register: Callable[[Sa2VA], None]) -> None:
    register(Sa2VA())


__all__ = ["Sa2VA", "Sa2VAConfig", "register_models"]
