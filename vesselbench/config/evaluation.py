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
    margin: float = Field(default=0.01, ge=0)
    """Margin of equivalence: differences of `primary` up to this do not matter. In the metric's own unit."""
    family: list[str] | None = None
    """Secondary metrics that a comparison judges, with Holm's correction over all of them; the rest is shown without a
    judgement. Default: every metric but `primary`."""
    batch_size: int = Field(default=1, ge=1)
    """Images per forward pass of a prediction."""

    @model_validator(mode="after")
    def _primary_is_scored(self) -> EvalConfig:
        if len(set(self.metrics)) < len(self.metrics):
            raise ValueError(f"metrics names one twice: {self.metrics}")
        if self.primary not in self.metrics:
            raise ValueError(f"primary metric {self.primary!r} is not in metrics {self.metrics}")
        for name in self.family or ():
            if name == self.primary:
                raise ValueError(f"family holds the primary metric {name!r}: it is judged for itself")
            if name not in self.metrics or (self.family or []).count(name) > 1:
                raise ValueError(f"family must name metrics, each once, not {name!r}")
        if isinstance(self.threshold, float) and not 0 < self.threshold < 1:
            raise ValueError("threshold must lie between 0 and 1")
        return self
