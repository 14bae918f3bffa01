"""The whole recipe."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from vesselbench.config.base import Settings
from vesselbench.config.data import DataConfig
from vesselbench.config.evaluation import EvalConfig
from vesselbench.config.train import TrainConfig


class Recipe(Settings):
    """Everything a run needs to know; stored complete in its config.yaml."""

    name: str = Field(pattern=r"^\w[\w.-]*$", max_length=100)
    """Name of the run's folder below runs/: letters, digits, dot, dash and underscore."""
    model: dict[str, Any]
    """name: the model; the other keys are checked by the model's own Config."""
    data: DataConfig = DataConfig()
    """Where the annotated images are."""
    train: TrainConfig = TrainConfig()
    """How the model is trained."""
    evaluation: EvalConfig = EvalConfig()
    """How predictions are scored."""
    configure: list[str] = Field(default_factory=list)
    """Keys that the model's rules set from the training images, before the first step. A key that you set yourself, in
    a further file or on the command line, is yours; configure=[] switches all rules off. The run's plan.yaml states
    every value with its reason: docs/baselines.md."""
    configured: list[str] = Field(default_factory=list)
    """Of a run's recipe: the keys that rules have set. Leave it to them."""
    trackers: list[str] = Field(default_factory=list)
    """Names of trackers that receive the log; none is started unless it stands here."""

    @model_validator(mode="after")
    def _the_best_is_chosen_by_a_metric_that_is_scored(self) -> Self:
        if self.train.keep_best not in (None, *self.evaluation.metrics):
            raise ValueError(f"train.keep_best={self.train.keep_best} is none of evaluation.metrics")
        return self

    @field_validator("name")
    @classmethod
    def _reports_have_a_folder_of_their_own(cls, name: str) -> str:
        if name in ("benchmarks", "comparison", "curve", "ladder"):
            raise ValueError(f"{name!r} is a folder of the comparisons and benchmarks")
        return name
