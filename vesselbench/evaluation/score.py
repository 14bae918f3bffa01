"""One prediction against its reference: a ScoreRow."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vesselbench.data.masks import mask_sha256
from vesselbench.errors import UserError
from vesselbench.evaluation.policy import Case, case_of, policy_value
from vesselbench.hookspecs import Metric
from vesselbench.types import BoolMask, Example, Prediction, ScoreRow


def score(prediction: Prediction, example: Example, metrics: Sequence[Metric]) -> ScoreRow:
    """Score the prediction, at its own threshold, with every metric; the row's hash is of the whole binary mask.

    Raises UserError when the sample cannot be scored (no mask, empty field of view) or the model has diverged
    (probabilities that are not finite), ValueError for what a plugin must not return: another id, size or type, a
    probability outside [0,1], a metric value that is not finite.
    """
    reference = reference_of(example)
    check_prediction(prediction, example)
    mask = prediction.mask()
    case = case_of(mask, reference, example.fov)
    values = {metric.name: metric_value(metric, prediction, example, case) for metric in metrics}
    missing = [name for name, value in values.items() if value is None]
    return ScoreRow(
        id=prediction.id,
        group=example.sample.group,
        target=example.sample.target,
        values=values,
        case=case,
        reason=f"no value of {', '.join(missing)} on this image" if missing else None,
        mask_sha256=mask_sha256(mask),
        status=prediction.status,
    )


def metric_value(metric: Metric, prediction: Prediction, example: Example, case: Case) -> float | None:
    """The policy's value where one mask is empty, else the metric's own; ValueError when that is not finite."""
    decided = policy_value(metric.kind, case, example.size)
    if decided is not None:
        return decided
    value = metric(prediction, example)
    if value is None:
        return None
    if not math.isfinite(value):
        raise ValueError(f"metric {metric.name!r} returned {value} on sample {prediction.id!r}; return None instead")
    return float(value)


def check_prediction(prediction: Prediction, example: Example) -> None:
    """Refuse a prediction that is not float32 [H,W] in [0,1] at the size of its example (errors as `score`)."""
    name, probability = prediction.id, prediction.probability
    if name != example.sample.id:
        raise ValueError(f"the prediction of {name!r} was given for sample {example.sample.id!r}")
    if probability.shape != example.size:
        raise ValueError(f"the prediction of {name!r} is of size {probability.shape}, the image of {example.size}")
    if probability.dtype != np.float32:
        raise ValueError(f"the prediction of {name!r} is {probability.dtype}, not float32")
    if not np.isfinite(probability).all():
        raise UserError(
            f"the model predicts values that are not finite on sample {name!r}",
            "the training diverged: lower train.lr or set train.clip, and train again",
        )
    low, high = float(probability.min()), float(probability.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"the prediction of {name!r} lies in [{low}, {high}], outside [0, 1]; resize logits, then take the sigmoid"
        )


def reference_of(example: Example) -> BoolMask:
    """The annotated mask [H,W]; UserError when there is none, or the field of view is empty."""
    sample = example.sample
    if example.mask is None:
        raise UserError(
            f"sample {sample.id!r} has no mask and cannot be scored{_origin(example)}",
            "annotate it, or leave it out of the data set",
        )
    if example.mask.shape != example.size:
        raise ValueError(f"the mask of {sample.id!r} is of size {example.mask.shape}, its image of {example.size}")
    if example.fov is not None and not example.fov.any():
        raise UserError(f"the field of view of sample {sample.id!r} is empty{_origin(example)}", "mend that mask")
    return example.mask


def _origin(example: Example) -> str:
    return f" ({example.sample.origin})" if example.sample.origin else ""
