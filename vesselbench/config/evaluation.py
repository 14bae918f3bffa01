"""How predictions are scored."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from vesselbench.config.base import Settings

DEFAULT_METRICS = [
    "dice",
    "iou",
    "precision",
    "sensitivity",
    "specificity",
    "pixel_accuracy",
    "auc",
    "ece",
    "cldice",
    "topology_precision",
    "topology_sensitivity",
    "hd95",
    "nsd",
    "betti0_error",
    "betti1_error",
    "recall_by_width",
    "precision_by_width",
    "cldice_by_width",
]


FAMILY = ["dice", "cldice", "nsd", "betti0_error"]
"""Overlap, centre lines, boundaries, connectedness: one metric of each kind."""


CONVENTIONS = (
    "pooled",
    "whole_image",
    "two_class",
    "threshold_on_test",
    "threshold_half",
    "nonempty_reference",
)
Convention = Literal["pooled", "whole_image", "two_class", "threshold_on_test", "threshold_half", "nonempty_reference"]


class MetricOptions(Settings):
    """What a metric's value depends on beside the two masks. Scores made with unlike options are not compared."""

    unit: Literal["px", "mm"] = "px"
    """Unit of distances, of `tolerance` and of `width_edges`; mm needs the spacing of every sample."""
    tolerance: float = Field(default=2.0, ge=0)
    """nsd: boundaries at most so far apart, in `unit`, count as equal."""
    width_edges: tuple[float, ...] = (2.0, 3.0, 4.0, 6.0, 9.0)
    """Upper ends of the bins of vessel width in `unit`, inclusive and ascending; one more bin holds what is wider."""
    calibration_bins: int = Field(default=20, ge=1, le=1000)
    """ece: number of equally wide bins of the probability."""

    @model_validator(mode="after")
    def _edges_ascend(self) -> MetricOptions:
        edges = self.width_edges
        if not edges or edges[0] <= 0 or any(low >= high for low, high in pairwise(edges)):
            raise ValueError(f"width_edges must be positive and ascending, not {list(edges)}")
        return self


class EvalConfig(Settings):
    """How predictions are scored; fixed before the test set is looked at."""

    threshold: Literal["validation"] | float = "validation"
    """Probability from which a pixel counts as vessel; validation: the best one for `primary` on the validation set."""
    metrics: list[str] = Field(default=DEFAULT_METRICS)
    """Names of the metrics, per image, of a finished run."""
    monitor: list[str] = Field(default=["dice", "precision", "sensitivity"])
    """Of these metrics, the ones that validations during a training compute beside `primary`."""
    options: MetricOptions = MetricOptions()
    """What the metrics' values depend on."""
    primary: str = "dice"
    """The metric that chooses checkpoint and threshold and leads the comparison."""
    margin: float = Field(default=0.01, ge=0)
    """Margin of equivalence: differences of `primary` up to this do not matter. In the metric's own unit."""
    family: list[str] | None = None
    """Secondary metrics that a comparison judges, with Holm's correction over all of them; the rest is shown without a
    judgement. Default: those of dice, cldice, nsd and betti0_error that are scored and are not `primary`."""
    conventions: list[Convention] = Field(default_factory=list)
    """Score by other people's conventions too, and say what each changes: docs/metrics.md."""
    store_probabilities: bool = False
    """Keep the probabilities of every prediction too, as PNG of 16 bits beside the masks."""
    batch_size: int = Field(default=1, ge=1)
    """Images per forward pass of a prediction."""

    @property
    def secondary(self) -> list[str]:
        """The family, with its default filled in."""
        if self.family is not None:
            return self.family
        return [name for name in FAMILY if name in self.metrics and name != self.primary]

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

    def while_training(self) -> EvalConfig:
        """The same with `primary` and those of `monitor` that are among the metrics: what a training can afford."""
        few = [name for name in self.metrics if name == self.primary or name in self.monitor]
        return self.model_copy(update={"metrics": few, "family": None})
