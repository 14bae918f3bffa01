"""One prediction against its reference: a ScoreRow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from vesselbench.config import EvalConfig, MetricOptions
from vesselbench.data.masks import mask_sha256
from vesselbench.errors import UserError
from vesselbench.evaluation.metrics import DEFAULTS, PairMetric
from vesselbench.evaluation.pair import MaskPair, Reference
from vesselbench.evaluation.policy import policy_value
from vesselbench.hookspecs import Metric
from vesselbench.plugins import Catalogue
from vesselbench.types import BoolMask, Example, Prediction, ScoreRow


def metrics_of(config: EvalConfig, catalogue: Catalogue) -> list[Metric]:
    """The metrics that the names in the recipe stand for, with its options: one name can stand for several bins."""
    found: list[Metric] = []
    for name in config.metrics:
        metric = catalogue.metrics[name]
        found.extend(metric.configured(config.options) if isinstance(metric, PairMetric) else [metric])
    return found


def score(
    prediction: Prediction, example: Example, metrics: Sequence[Metric], options: MetricOptions = DEFAULTS
) -> ScoreRow:
    """Score the prediction, at its own threshold, with every metric; the row's hash is of the whole binary mask.

    Raises UserError when the sample cannot be scored (no mask, empty field of view, no spacing where millimetres are
    asked for) or the model has diverged (probabilities that are not finite), ValueError for what a plugin must not
    return: another id, size or type, a probability outside [0,1], a metric value that is not finite.
    """
    reference_of(example)
    return score_against(Reference(example, options), prediction, metrics)


def score_against(reference: Reference, prediction: Prediction, metrics: Sequence[Metric]) -> ScoreRow:
    """`score` against a reference that is measured once for several predictions."""
    example = reference.example
    check_prediction(prediction, example)
    pair = MaskPair(prediction, reference)
    values = {metric.name: metric_value(metric, pair) for metric in metrics}
    absent = {metric.name: _absence(metric, pair) for metric in metrics if values[metric.name] is None}
    return ScoreRow(
        id=prediction.id,
        group=example.sample.group,
        target=example.sample.target,
        values=values,
        case=pair.counts.case,
        reasons=absent,
        mask_sha256=mask_sha256(pair.whole),
        status=prediction.status,
        counts=asdict(pair.counts),
        calibration=pair.calibration if any(metric.name == "ece" for metric in metrics) and prediction.graded else {},
    )


def metric_value(metric: Metric, pair: MaskPair) -> float | None:
    """The policy's value where one mask is empty, else the metric's own; ValueError when that is not finite."""
    example = pair.reference.example
    if isinstance(metric, PairMetric) and metric.graded and not pair.prediction.graded:
        return None
    decided = policy_value(metric.kind, pair.counts.case, example.size, pair.reference.image_spacing)
    if decided is not None:
        return decided
    value = metric.measure(pair) if isinstance(metric, PairMetric) else metric(pair.prediction, example)
    if value is None:
        return None
    if not math.isfinite(value):
        raise ValueError(
            f"metric {metric.name!r} returned {value} on sample {example.sample.id!r}; return None instead"
        )
    return float(value)


def _absence(metric: Metric, pair: MaskPair) -> str:
    """Why a metric has no value."""
    if not isinstance(metric, PairMetric):
        return PairMetric.absence
    return "a mask has no probabilities" if metric.graded and not pair.prediction.graded else metric.absence


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
