"""Scores under other people's conventions, beside the headline: how much of a published number is a choice.

The headline: vessel class, inside the field of view, at the threshold of the validation set, mean over all images.
Each convention changes one of these. Their effects on the field's numbers: docs/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from vesselbench.config import CONVENTIONS
from vesselbench.evaluation.metrics import CountMetric, Dice, IoU, PixelAccuracy, Precision, Sensitivity, Specificity
from vesselbench.evaluation.pair import Counts
from vesselbench.evaluation.policy import inside
from vesselbench.evaluation.threshold import THRESHOLDS
from vesselbench.types import Example, Prediction, ScoreRow

METRICS: tuple[CountMetric, ...] = (Dice(), IoU(), Precision(), Sensitivity(), Specificity(), PixelAccuracy())
"""A convention is measured for those that are given by pixel counts."""
FIXED = 0.5


@dataclass(frozen=True)
class Tables:
    """Confusion matrices of one image: of the whole image at the headline's threshold, inside at `THRESHOLDS`."""

    whole: tuple[int, int, int, int]
    inside: tuple[tuple[int, int, int, int], ...]


def tables_of(prediction: Prediction, example: Example) -> Tables:
    """The matrices (tp, fp, fn, tn) of a prediction at its own threshold."""
    assert example.mask is not None, "it is scored"
    vessel, values = inside(example.mask, example.fov), _values(prediction, example)
    return Tables(
        _counts(prediction.mask().reshape(-1), example.mask.reshape(-1)),
        tuple(_counts(values >= np.float32(threshold), vessel) for threshold in THRESHOLDS),
    )


def _values(prediction: Prediction, example: Example) -> npt.NDArray[np.float32]:
    """Probabilities inside the field of view, in row order."""
    return prediction.probability.reshape(-1) if example.fov is None else prediction.probability[example.fov]


def _counts(predicted: npt.NDArray[np.bool_], vessel: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    tp, drawn, there = (int(np.count_nonzero(mask)) for mask in (predicted & vessel, predicted, vessel))
    return tp, drawn - tp, there - tp, vessel.size - drawn - there + tp


@dataclass(frozen=True)
class Image:
    """One image of the set: the headline's matrix and the others."""

    headline: Counts
    tables: Tables


Value = float | None


def _mean(metric: CountMetric, matrices: Sequence[Counts]) -> Value:
    known = [value for matrix in matrices if (value := metric.of_counts(matrix)) is not None]
    return fmean(known) if known else None


def _two_class(metric: CountMetric, images: Sequence[Image]) -> Value:
    turned = [Counts(one.headline.tn, one.headline.fn, one.headline.fp, one.headline.tp) for one in images]
    halves = [_mean(metric, [one.headline for one in images]), _mean(metric, turned)]
    return None if None in halves else fmean(half for half in halves if half is not None)


def _pooled(metric: CountMetric, images: Sequence[Image]) -> Value:
    return metric.of_counts(Counts(*np.sum([list(asdict(one.headline).values()) for one in images], axis=0).tolist()))


def _at(metric: CountMetric, images: Sequence[Image], place: int) -> Value:
    return _mean(metric, [Counts(*one.tables.inside[place]) for one in images])


def _best_place(images: Sequence[Image]) -> int:
    """The threshold with the best mean Dice on these images."""
    return max(range(len(THRESHOLDS)), key=lambda place: _at(Dice(), images, place) or 0.0)


RULES: dict[str, tuple[str, Callable[[CountMetric, Sequence[Image]], Value]]] = {
    "pooled": ("The pixels of all images are counted together.", _pooled),
    "whole_image": (
        "Every pixel of the image counts, also outside the field of view.",
        lambda metric, images: _mean(metric, [Counts(*one.tables.whole) for one in images]),
    ),
    "two_class": ("The mean of the score of vessel and the score of background.", _two_class),
    "threshold_on_test": (
        "The threshold with the best mean Dice on the scored images themselves: optimistic.",
        lambda metric, images: _at(metric, images, _best_place(images)),
    ),
    "threshold_half": (
        f"The threshold is {FIXED:g}.",
        lambda metric, images: _at(metric, images, THRESHOLDS.index(FIXED)),
    ),
    "nonempty_reference": (
        "Images whose reference is empty are left out.",
        lambda metric, images: _mean(metric, [one.headline for one in images if one.headline.tp + one.headline.fn]),
    ),
}
assert set(RULES) == set(CONVENTIONS)


def convention_summary(
    names: Sequence[str], rows: Sequence[ScoreRow], tables: Sequence[Tables]
) -> dict[str, Mapping[str, Any]]:
    """Per convention its `definition`, the `metrics` under it and their `effect`, the difference from the headline.

    `rows` and `tables` are those of the images, in one order.
    """
    images = [Image(Counts(**row.counts), one) for row, one in zip(rows, tables, strict=True)]
    headline = {metric.name: _mean(metric, [one.headline for one in images]) for metric in METRICS}
    found: dict[str, Mapping[str, Any]] = {}
    for name in names:
        definition, rule = RULES[name]
        values = {metric.name: rule(metric, images) for metric in METRICS}
        effect = {metric: _difference(values[metric], headline[metric]) for metric in values}
        found[name] = {"definition": definition, "metrics": values, "effect": effect}
    return found


def _difference(value: Value, headline: Value) -> Value:
    return None if value is None or headline is None else value - headline
