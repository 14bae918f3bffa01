"""How predictions are scored."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from vesselbench.config.base import Settings


class EvalConfig(Settings):
    """How predictions are scored; fixed before the test set is looked at."""

    threshold: Literal["validation"] | float = "validation"
    """Probability from which a pixel counts as vessel; validation: the best one for `primary` on the validation set."""
    metrics: list[str] = Field(default=["dice", "iou", "pixel_accuracy"])
    """Names of the metrics, per image."""
    primary: str = "dice"
    """The metric that chooses checkpoint and threshold and leads the comparison."""
    batch_size: int = Field(default=1, ge=1)
    """Images per forward pass of a prediction."""

    @model_validator(mode="after")
    def _primary_is_scored(self) -> EvalConfig:
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"metrics names one twice: {self.metrics}")
        if self.primary not in self.metrics:
            raise ValueError(f"primary metric {self.primary!r} is not in metrics {self.metrics}")
        if isinstance(self.threshold, float) and not 0 < self.threshold < 1:
            raise ValueError("threshold must lie between 0 and 1")
        return self
