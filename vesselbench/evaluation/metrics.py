"""The base of all built-in metrics, and those of the confusion matrix: MONAI's formulas on exact counts.

torch and monai are imported when a metric is called: the command line imports this module for every command.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from vesselbench.config import MetricOptions
from vesselbench.evaluation.pair import Counts, MaskPair
from vesselbench.evaluation.policy import Kind, policy_value
from vesselbench.types import Example, Prediction

DEFAULTS = MetricOptions()
Better = Literal["higher", "lower"]


class PairMetric(ABC):
    """A metric of a MaskPair, so that metrics of one image share what they need of it.

    `kind` is that of `vesselbench.hookspecs.Metric`. `absence` says why `measure` can return None. `graded` metrics
    need probabilities and have no value of somebody's mask.
    """

    name: str
    better: Better
    version: int
    kind: Kind
    absence: str = "not defined on this image"
    graded: ClassVar[bool] = False

    def __init__(self, options: MetricOptions = DEFAULTS) -> None:
        self.options = options

    def configured(self, options: MetricOptions) -> tuple[PairMetric, ...]:
        """What the name stands for under these options: itself, or itself and one metric for each of several bins."""
        return (type(self)(options),)

    @abstractmethod
    def measure(self, pair: MaskPair) -> float | None:
        """The value of one image; what is asked for where a mask is empty depends on `kind`."""

    def __call__(self, prediction: Prediction, example: Example) -> float | None:
        """The value of one image; ValueError when the example has no mask or the sizes differ."""
        return self.measure(MaskPair.of(prediction, example, self.options))


class CountMetric(PairMetric):
    """A metric of the confusion matrix, by the formula of monai.metrics.compute_confusion_matrix_metric.

    MONAI counts in single precision, which is exact up to 2^24 pixels; the counts here are whole numbers of any size.
    """

    version = 2
    formula: ClassVar[str]
    """MONAI's name."""

    def measure(self, pair: MaskPair) -> float | None:
        return self.of_counts(pair.counts)

    def of_counts(self, counts: Counts) -> float | None:
        """The value of these counts, of one image or pooled over many; None where the formula divides by 0.

        Empty masks are scored as the policy scores those of one image.
        """
        import torch
        from monai.metrics import compute_confusion_matrix_metric

        decided = policy_value(self.kind, counts.case, (0, 0))
        if decided is not None:
            return decided
        matrix = torch.tensor([counts.tp, counts.fp, counts.tn, counts.fn], dtype=torch.float64)
        value = float(compute_confusion_matrix_metric(self.formula, matrix))
        return None if math.isnan(value) else value


class Dice(CountMetric):
    """Dice coefficient 2|P∩R| / (|P|+|R|) of prediction P and reference R, in [0,1]: 2TP / (2TP+FP+FN)."""

    name = "dice"
    better: Better = "higher"
    kind: Kind = "overlap"
    formula = "f1 score"


class IoU(CountMetric):
    """Intersection over union |P∩R| / |P∪R| (Jaccard index), in [0,1]: TP / (TP+FP+FN)."""

    name = "iou"
    better: Better = "higher"
    kind: Kind = "overlap"
    formula = "threat score"


class Precision(CountMetric):
    """Share of the predicted pixels that are vessel, in [0,1]: TP / (TP+FP)."""

    name = "precision"
    better: Better = "higher"
    kind: Kind = "overlap"
    formula = "precision"


class Sensitivity(CountMetric):
    """Share of the vessel pixels that are predicted (recall), in [0,1]: TP / (TP+FN)."""

    name = "sensitivity"
    better: Better = "higher"
    kind: Kind = "overlap"
    formula = "sensitivity"


class Specificity(CountMetric):
    """Share of the background pixels that are not predicted, in [0,1]: TN / (TN+FP).

    It depends on how much background the image shows; no value where the reference leaves none.
    """

    name = "specificity"
    better: Better = "higher"
    kind: Kind = "none"
    formula = "specificity"
    absence = "the reference leaves no background in the field of view"


class PixelAccuracy(CountMetric):
    """Share of the pixels on which P and R agree, in [0,1]: (TP+TN) / N.

    Background counts as much as vessel: predicting nothing scores about 0.9 and more on vessel images. That score of
    the empty prediction, (TN+FP) / N, stands beside it in every summary; read it beside Dice, never alone.
    """

    name = "pixel_accuracy"
    better: Better = "higher"
    kind: Kind = "none"
    formula = "accuracy"
