"""A comparison as plain JSON values: comparison.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vesselbench.compare import Comparison, verdict
from vesselbench.contender import Contender, mean_of, median_of
from vesselbench.pairing import RESAMPLES, SEED
from vesselbench.rundir import write_json


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Verdict, split, runs with means and costs, pairs with intervals and tests, values by image, notes."""
    split = comparison.runs[0].split
    observed = comparison.observer2
    return {
        "verdict": verdict(comparison),
        "set_name": comparison.set_name,
        "primary": comparison.primary,
        "margin": comparison.margin,
        "bootstrap": {"resamples": RESAMPLES, "seed": SEED, "unit": "group", "level": 0.95},
        "split": {
            "name": split.name,
            "seed": split.seed,
            "fingerprint": split.fingerprint,
            "sizes": {name: len(ids) for name, ids in split.sets.items()},
        },
        "runs": [_run_record(run, comparison.directions) for run in comparison.runs],
        "second_observer": None
        if observed is None
        else {metric: mean_of([row.values[metric] for row in observed]) for metric in comparison.directions},
        "pairs": [asdict(pair) for pair in comparison.pairs],
        "images": _image_records(comparison),
        "notes": list(comparison.notes),
    }


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write `comparison_record`, whole or not at all."""
    write_json(path, comparison_record(comparison))


def _run_record(run: Contender, directions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "label": run.label,
        "run": run.where,
        "model": run.record.get("model"),
        "seed": run.record.get("seed"),
        "threshold": run.scores.threshold,
        "weights_sha256": run.scores.weights_sha256,
        "metrics": {
            metric: {
                "mean": mean_of(run.values(metric)),
                "median": median_of(run.values(metric)),
                "none": run.values(metric).count(None),
                "better": better,
                "version": run.scores.metric_versions[metric],
            }
            for metric, better in directions.items()
        },
        "costs": asdict(run.costs),
    }


def _image_records(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {"id": image, "group": group, "values": {run.label: dict(run.scores.rows[i].values) for run in comparison.runs}}
        for i, (image, group) in enumerate(zip(comparison.images, comparison.groups, strict=True))
    ]
