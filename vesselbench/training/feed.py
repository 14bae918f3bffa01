"""How a model wants its training samples: by which collator, and whether those of one image stay together."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from vesselbench.config import TrainConfig
from vesselbench.data.cache import MaskCache
from vesselbench.data.loader import Collate, train_batches
from vesselbench.hookspecs import ModelPlugin
from vesselbench.types import Batch, Sample, Task


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
