"""The summary of one set: what summary.json holds beside the rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields
from statistics import fmean
from typing import Any

import numpy as np

from vesselbench.config import EvalConfig
from vesselbench.evaluation.by_width import ByWidth, bin_tags
from vesselbench.evaluation.metrics import CountMetric, PixelAccuracy
from vesselbench.evaluation.pair import Counts
from vesselbench.evaluation.policy import CASES
from vesselbench.evaluation.probability import CalibrationError, calibration_error
from vesselbench.hookspecs import Metric
from vesselbench.types import ScoreRow, Scores


def summarise(
    scores: Scores,
    metrics: Sequence[Metric],
    config: EvalConfig,
    *,
    threshold_from: str,
    seconds: float,
    device: str | None,
) -> dict[str, Any]:
    """Means, medians and counts per metric, the empty-mask cases and the speed, ready for JSON.

    `reference_nonempty_means` are over the images whose reference is not empty, for comparison with tools that leave
    the others out. `seconds` is the time inside predict calls of the slowest process, collation included.
    """
    rows = scores.rows
    cases = Counter(row.case for row in rows)
    present = [row for row in rows if row.case in ("ok", "empty_prediction")]
    return {
        "set_name": scores.set_name,
        "threshold": scores.threshold,
        "threshold_from": threshold_from,
        "fingerprint": scores.fingerprint,
        "metric_versions": dict(scores.metric_versions),
        "options": config.options.model_dump(mode="json"),
        "weights_sha256": scores.weights_sha256,
        "primary": config.primary,
        "metrics": metric_summaries(rows, metrics),
        "widths": {"unit": config.options.unit, "bins": bin_tags(config.options)},
        "calibration": calibration_summary(rows),
        "cases": {case: cases[case] for case in CASES},
        "statuses": dict(sorted(Counter(row.status for row in rows).items())),
        "reference_nonempty_means": {metric.name: _mean(_values(present, metric.name)) for metric in metrics},
        "images": len(rows),
        "groups": len({row.group for row in rows}),
        "seconds": seconds,
        "images_per_second": len(rows) / seconds if seconds > 0 else None,
        "batch_size": config.batch_size,
        "device": device,
    }


def metric_summaries(rows: Sequence[ScoreRow], metrics: Sequence[Metric]) -> dict[str, Mapping[str, Any]]:
    """Per metric, over the images with a value (None without any):

    `mean` over images (the headline), `std` of one image (n-1), `median`; `group_mean`: mean of the groups' means;
    `pooled`: over the pixels of all images at once, where the metric is one of pixel counts or calibration; `count` of
    images with a value, `none` without and their `reasons`; `better`; `family` and `bin` of a metric per vessel width.
    """
    return {metric.name: _summary_of(rows, metric) for metric in metrics}


def _summary_of(rows: Sequence[ScoreRow], metric: Metric) -> Mapping[str, Any]:
    values = _values(rows, metric.name)
    missing = [row for row in rows if row.values[metric.name] is None]
    summary: dict[str, Any] = {
        "mean": _mean(values),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "median": float(np.median(values)) if values else None,
        "group_mean": _group_mean(rows, metric.name),
        "pooled": _pooled(rows, metric),
        "count": len(values),
        "none": len(missing),
        "reasons": dict(Counter(row.reasons.get(metric.name, "no reason stored") for row in missing)),
        "better": metric.better,
    }
    if isinstance(metric, ByWidth):
        summary |= {"family": metric.family, "bin": metric.bin}
    if isinstance(metric, PixelAccuracy):
        summary["all_background"] = _of_predicting_nothing(rows)
    return summary


def calibration_summary(rows: Sequence[ScoreRow]) -> dict[str, list[float | None]] | None:
    """The reliability of the probabilities over the pixels of all images, per bin: `count` of pixels, their mean
    `probability` and the share of `vessel` among them (None in an empty bin). None where it was not measured.
    """
    sums = _calibration_sums(rows)
    if sums is None:
        return None
    count = sums["count"]
    shares = {
        key: [one / number if number else None for one, number in zip(sums[key], count, strict=True)]
        for key in ("probability", "vessel")
    }
    return {"count": list(count), **shares}


def pooled_counts(rows: Sequence[ScoreRow]) -> Counts:
    """The confusion matrix of all images together; rows without one count for nothing."""
    return Counts(*(sum(row.counts.get(field.name, 0) for row in rows) for field in fields(Counts)))


def _pooled(rows: Sequence[ScoreRow], metric: Metric) -> float | None:
    if isinstance(metric, CalibrationError):
        sums = _calibration_sums(rows)
        return None if sums is None else calibration_error(sums)
    if not isinstance(metric, CountMetric) or not all(row.counts for row in rows):
        return None
    return metric.of_counts(pooled_counts(rows))


def _calibration_sums(rows: Sequence[ScoreRow]) -> dict[str, list[float]] | None:
    if not rows or not all(row.calibration for row in rows):
        return None
    return {
        key: np.sum([row.calibration[key] for row in rows], axis=0).tolist()
        for key in ("count", "probability", "vessel")
    }


def _of_predicting_nothing(rows: Sequence[ScoreRow]) -> float | None:
    """Mean pixel accuracy of the empty prediction."""
    shares = [(c["tn"] + c["fp"]) / sum(c.values()) for row in rows if (c := row.counts)]
    return _mean(shares)


def _group_mean(rows: Sequence[ScoreRow], metric: str) -> float | None:
    groups: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if (value := row.values[metric]) is not None:
            groups[row.group or row.id].append(value)
    return _mean([fmean(values) for values in groups.values()])


def _values(rows: Sequence[ScoreRow], metric: str) -> list[float]:
    return [value for row in rows if (value := row.values[metric]) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
