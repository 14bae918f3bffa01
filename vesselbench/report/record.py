"""A comparison as plain JSON values: comparison.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vesselbench.compare import Comparison, verdict
from vesselbench.contender import Contender, mean_of, median_of
from vesselbench.ladder import ladder_record
from vesselbench.pairing import RESAMPLES, SEED
from vesselbench.report.record_tables import command_lines, leaks_of
from vesselbench.rundir import write_json
from vesselbench.scored import ScoredRun


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Verdict, plan, split, contenders with means, costs and recipes, pairs with intervals and tests, values by image.

    docs/comparison.md says what every key means.
    """
    split = comparison.runs[0].split
    observed = comparison.observer2
    return {
        "verdict": verdict(comparison),
        "set_name": comparison.set_name,
        "primary": comparison.primary,
        "margin": comparison.margin,
        "declared_margin": comparison.declared_margin,
        "family": list(comparison.family),
        "unit": comparison.unit,
        "bootstrap": {"resamples": RESAMPLES, "seed": SEED, "unit": comparison.unit, "level": 0.95},
        "split": {
            "name": split.name,
            "seed": split.seed,
            "fingerprint": split.fingerprint,
            "sizes": {name: len(ids) for name, ids in split.sets.items()},
            "leaks": leaks_of(comparison),
        },
        "runs": [_contender_record(run, comparison.directions) for run in comparison.runs],
        "second_observer": None
        if observed is None
        else {metric: mean_of([row.values[metric] for row in observed]) for metric in comparison.directions},
        "pairs": [asdict(pair) for pair in comparison.pairs],
        "several": None if comparison.several is None else asdict(comparison.several),
        "scorings": None if comparison.scorings is None else asdict(comparison.scorings),
        "images": _image_records(comparison),
        "ladder": None if comparison.ladder is None else ladder_record(comparison.ladder),
        "benchmarks": {label: result.as_json() for label, result in comparison.benchmarks.results.items()},
        "notes": list(comparison.notes),
        "commands": command_lines(comparison),
    }


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write `comparison_record`, whole or not at all."""
    write_json(path, comparison_record(comparison))


def _contender_record(contender: Contender, directions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "label": contender.label,
        "model": contender.record.get("model"),
        "seeds": [_seed_record(seed, directions) for seed in contender.seeds],
        "metrics": {
            metric: {
                "mean": mean_of(contender.values(metric)),
                "median": median_of(contender.values(metric)),
                "none": contender.values(metric).count(None),
                "better": better,
                "version": contender.scores.metric_versions[metric],
                "seed_sd": contender.spread(metric).sd,
            }
            for metric, better in directions.items()
        },
        "costs": asdict(contender.costs),
        "calibration": contender.summary.get("calibration"),
    }


def _seed_record(run: ScoredRun, directions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "seed": run.seed,
        "run": run.where,
        "threshold": run.scores.threshold,
        "weights_sha256": run.scores.weights_sha256,
        "means": {metric: mean_of(run.values(metric)) for metric in directions},
        "costs": asdict(run.costs),
        "validations": [asdict(validation) for validation in run.validations],
        "config": dict(run.config),
        "base_weights": dict(run.record.get("base_weights") or {}),
        "versions": dict(run.record.get("versions") or {}),
    }


def _image_records(comparison: Comparison) -> list[dict[str, Any]]:
    values = {run.label: {metric: run.values(metric) for metric in comparison.directions} for run in comparison.runs}
    return [
        {"id": image, "group": group, "values": {label: {m: of[m][i] for m in of} for label, of in values.items()}}
        for i, (image, group) in enumerate(zip(comparison.images, comparison.groups, strict=True))
    ]
