"""The threshold from which a probability counts as vessel, chosen on the validation set.

One road for every metric: the primary metric is computed for each image at each of 19 thresholds, so the choice costs
19 calls of that metric per image (0.2 s for Dice on 1024 x 1024 pixels) and no further prediction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from vesselbench.config import MetricOptions
from vesselbench.errors import UserError
from vesselbench.evaluation.metrics import DEFAULTS
from vesselbench.evaluation.pair import MaskPair, Reference
from vesselbench.evaluation.score import check_prediction, metric_value, reference_of
from vesselbench.hookspecs import Metric
from vesselbench.types import Example, Prediction

PERCENT = tuple(range(5, 100, 5))
THRESHOLDS: tuple[float, ...] = tuple(percent / 100 for percent in PERCENT)
"""0.05, 0.10, ... 0.95"""


def values_at_thresholds(
    prediction: Prediction, example: Example, metric: Metric, options: MetricOptions = DEFAULTS
) -> list[float | None]:
    """The metric of one image at each of `THRESHOLDS`, under the empty-mask policy (errors as `score`)."""
    reference_of(example)
    check_prediction(prediction, example)
    reference = Reference(example, options)
    candidates = (replace(prediction, threshold=threshold) for threshold in THRESHOLDS)
    return [metric_value(metric, MaskPair(candidate, reference)) for candidate in candidates]


def choose_threshold(images: Sequence[Sequence[float | None]], better: Literal["higher", "lower"]) -> float:
    """The threshold with the best mean over images; `images` holds one list of `values_at_thresholds` per image.

    A threshold at which fewer images have a value is worse, whatever its mean: a mean must not rise by losing images.
    Of equal ones the nearest to 0.5 wins, then the lower. Raises UserError when no image has a value at any
    threshold, ValueError for a list of another length.
    """
    if any(len(values) != len(THRESHOLDS) for values in images):
        raise ValueError(f"each image needs {len(THRESHOLDS)} values")
    columns = [[value for image in images if (value := image[i]) is not None] for i in range(len(THRESHOLDS))]
    if not any(columns):
        raise UserError(
            "no validation image has a value of the primary metric: no threshold can be chosen",
            "set evaluation.threshold to a number, or another evaluation.primary",
        )
    sign = -1.0 if better == "higher" else 1.0

    def rank(i: int) -> tuple[int, float, int, int]:
        # fsum is exact, so the order of the images (and the number of processes) cannot tip a tie
        mean = math.fsum(columns[i]) / len(columns[i]) if columns[i] else math.inf
        return (-len(columns[i]), sign * mean, abs(PERCENT[i] - 50), PERCENT[i])

    return THRESHOLDS[min(range(len(THRESHOLDS)), key=rank)]
