"""How long a training is, in whichever unit the recipe says it, and how much of it is used."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vesselbench import distributed
from vesselbench.config import Recipe, TrainConfig
from vesselbench.data.loader import units_of
from vesselbench.plugins import Catalogue
from vesselbench.recipes import model_settings
from vesselbench.training.schedule import course
from vesselbench.training.state import State
from vesselbench.types import Sample

ENDLESS = 10**9
"""Steps of a training that ends by the clock."""
UNDER_WAY = 1e-3
"""Share at which a training by the clock starts: at 0 the warm-up's learning rate would be 0."""


def steps_of(train: TrainConfig, units: int) -> int | None:
    """Optimizer steps that a training takes; None when the clock ends it. `units`: what is drawn in an epoch."""
    if train.minutes is not None:
        return None
    if train.steps is not None:
        return train.steps
    seen = train.samples if train.samples is not None else (train.epochs or 0) * units
    return max(1, math.ceil(seen / train.batch_size - 1e-9))


@dataclass
class Budget:
    """The length of one training and what is used of it; equal on all ranks.

    `seconds` are those of the steps so far, by rank 0's clock; they are state, to be saved with a checkpoint.
    """

    train: TrainConfig
    steps: int | None
    seconds: float = 0.0

    @classmethod
    def of(cls, recipe: Recipe, catalogue: Catalogue, samples: Sequence[Sample]) -> Budget:
        """The budget of a recipe with this training set, drawn by sample or by image as its model wants it."""
        plugin, config = model_settings(recipe, catalogue)
        by_image = bool(hasattr(plugin, "by_image") and plugin.by_image(config))
        return cls(recipe.train, steps_of(recipe.train, len(units_of(samples, by_image))))

    @property
    def most_steps(self) -> int:
        """Steps for which there must be batches."""
        return ENDLESS if self.steps is None else self.steps

    def factor(self, step: int) -> float:
        """Factor of the learning rate for optimizer step `step` (0 is the first): by steps, or by the clock."""
        if self.steps is None:
            share = min(self.seconds / self._limit, 1.0)
            return max(course(self.train, max(share, UNDER_WAY), self.train.warmup), UNDER_WAY)
        warm = round(self.train.warmup * self.steps)
        if step < warm:
            return (step + 1) / (warm + 1)
        return course(self.train, min((step - warm) / max(1, self.steps - warm), 1.0), 0.0)

    def spend(self, seconds: float) -> None:
        """Count the seconds of a step; where the clock decides, rank 0's on every rank (all must call it)."""
        self.seconds += seconds if self.steps is not None else distributed.from_first(seconds)

    def is_used(self, step: int) -> bool:
        """Whether optimizer step `step` (1 is the first) was the last one."""
        return self.seconds >= self._limit if self.steps is None else step >= self.steps

    def progress(self, step: int) -> tuple[int, int]:
        """What is used after step `step`, and of how much: steps, or seconds."""
        if self.steps is None:
            return int(min(self.seconds, self._limit)), math.ceil(self._limit)
        return step, self.steps

    def words(self) -> str:
        """The length as the recipe says it."""
        train = self.train
        if train.epochs is not None:
            return f"{train.epochs:g} epochs"
        if train.samples is not None:
            return f"{train.samples} samples"
        return f"{train.minutes:g} minutes of training steps" if self.steps is None else f"{self.steps} steps"

    def state(self) -> State:
        return State({"seconds": self.seconds})

    def restore(self, state: State) -> None:
        self.seconds = float(state.values["seconds"])

    @property
    def _limit(self) -> float:
        return 60 * (self.train.minutes or math.inf)
