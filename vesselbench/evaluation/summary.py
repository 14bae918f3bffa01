"""The summary of one set: what summary.json holds beside the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vesselbench.config import EvalConfig
from vesselbench.evaluation.policy import CASES
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
        "weights_sha256": scores.weights_sha256,
        "primary": config.primary,
        "metrics": metric_summaries(rows, metrics),
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
    """Per metric: mean and median over the images with a value (None without any), and how many have one or none."""
    summaries: dict[str, Mapping[str, Any]] = {}
    for metric in metrics:
        values = _values(rows, metric.name)
        summaries[metric.name] = {
            "mean": _mean(values),
            "median": float(np.median(values)) if values else None,
            "count": len(values),
            "none": len(rows) - len(values),
            "better": metric.better,
        }
    return summaries


def _values(rows: Sequence[ScoreRow], metric: str) -> list[float]:
    return [value for row in rows if (value := row.values[metric]) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
