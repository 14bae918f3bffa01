"""How a model wants its samples: which it refuses, by which collator, whether those of one image stay together."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from vesselbench.config import Recipe, TrainConfig
from vesselbench.data.cache import MaskCache
from vesselbench.data.dataset import Dataset
from vesselbench.data.loader import Collate, train_batches
from vesselbench.hookspecs import ModelPlugin
from vesselbench.plugins import Catalogue
from vesselbench.recipes import model_settings
from vesselbench.types import Batch, Sample, Task


def check_samples(recipe: Recipe, dataset: Dataset, catalogue: Catalogue) -> None:
    """Ask the model, before anything is made for a run, whether it can take every sample of every set.

    One of the test set would otherwise show when it is scored, after the whole training. Raises the plugin's UserError.
    """
    plugin, config = model_settings(recipe, catalogue)
    if hasattr(plugin, "check_samples"):
        plugin.check_samples(config, {name: dataset.of(name) for name in dataset.split.sets})


@dataclass(frozen=True)
class Feed:
    """`by_image`: the samples of an image are drawn at once, and ``train.batch_size`` counts images."""

    collate: Collate
    by_image: bool
    train: TrainConfig
    cache: MaskCache | None = None

    @classmethod
    def of(
        cls, plugin: ModelPlugin, config: Any, task: Task, train: TrainConfig, cache: MaskCache | None = None
    ) -> Feed:
        """What the plugin asks for by its optional methods; else its one collator, sample by sample."""
        make = plugin.training_collator if hasattr(plugin, "training_collator") else plugin.collator
        return cls(make(config, task), bool(hasattr(plugin, "by_image") and plugin.by_image(config)), train, cache)

    def batches(
        self, samples: Sequence[Sample], rank: int, world: int, start: int = 0, steps: int | None = None
    ) -> Generator[tuple[int, list[Batch]], None, None]:
        """See `train_batches`."""
        return train_batches(
            samples, self.collate, self.train, rank, world, start, by_image=self.by_image, cache=self.cache, steps=steps
        )
