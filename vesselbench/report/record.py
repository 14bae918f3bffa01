"""A comparison as plain JSON values: comparison.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vesselbench.compare import Comparison, verdict
from vesselbench.comparing.contender import Contender, mean_of, median_of
from vesselbench.comparing.likeness import start_of
from vesselbench.comparing.pairing import RESAMPLES, SEED
from vesselbench.comparing.scored import ScoredRun
from vesselbench.ladder import ladder_record
from vesselbench.report.methods import methods_of
from vesselbench.report.record_tables import command_lines, leaks_of

FIGURES = ("pooled", "group_mean", "all_background")
"""What stands beside a mean: over all pixels at once, mean of the groups' means, of the answer without any vessel."""


def comparison_record(
    comparison: Comparison, gallery: Mapping[str, Any] | None = None, *, pseudonymised: bool = False
) -> dict[str, Any]:
    """Verdict, plan, split, contenders with means, costs and recipes, pairs with intervals and tests, values by image.

    `gallery`: see `gallery.gallery_record`. docs/comparison.md says what every key means.
    """
    split = comparison.runs[0].split
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
        "second_observer": _observer_record(comparison),
        "pairs": [asdict(pair) for pair in comparison.pairs],
        "several": None if comparison.several is None else asdict(comparison.several),
        "scorings": None if comparison.scorings is None else asdict(comparison.scorings),
        "images": _image_records(comparison),
        "ladder": None if comparison.ladder is None else ladder_record(comparison.ladder),
        "benchmarks": {label: result.as_json() for label, result in comparison.benchmarks.results.items()},
        "gallery": None if gallery is None else dict(gallery),
        "notes": list(comparison.notes),
        "methods": methods_of(comparison, pseudonymised),
        "pseudonymised": pseudonymised,
        "commands": command_lines(comparison),
    }


def _observer_record(comparison: Comparison) -> dict[str, Any] | None:
    observed = comparison.observer2
    if observed is None:
        return None
    values = {metric: [row.values[metric] for row in observed] for metric in comparison.directions}
    metrics = {
        metric: {"mean": mean_of(held), "median": median_of(held), "none": held.count(None)}
        for metric, held in values.items()
    }
    return {"images": len(observed), "metrics": metrics}


def _contender_record(contender: Contender, directions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "label": contender.label,
        "model": contender.record.get("model"),
        "seeds": [_seed_record(seed, directions) for seed in contender.seeds],
        "metrics": {
            metric: {
                "mean": mean_of(contender.values(metric)),
                "median": median_of(contender.values(metric)),
                **{figure: contender.summarised(metric, figure) for figure in FIGURES},
                "none": contender.values(metric).count(None),
                "better": better,
                "version": contender.scores.metric_versions[metric],
                "seed_sd": contender.spread(metric).sd,
            }
            for metric, better in directions.items()
        },
        "cases": dict(sorted(contender.cases().items())),
        "statuses": dict(sorted(contender.statuses().items())),
        "costs": asdict(contender.costs),
        "parameters": contender.record["parameters"].get("parts") or {},
        "calibration": contender.summary.get("calibration"),
    }


def _seed_record(run: ScoredRun, directions: Mapping[str, str]) -> dict[str, Any]:
    return {
        "seed": run.seed,
        "run": run.where,
        "finished": run.record.get("finished"),
        "best_step": run.record.get("best_step"),
        "started_from": start_of(run.record),
        "git": run.record.get("git"),
        "threshold": run.scores.threshold,
        "threshold_from": run.summary.get("threshold_from"),
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
    cases = {run.label: [seed.scores.rows for seed in run.seeds] for run in comparison.runs}
    return [
        {
            "id": image,
            "group": group,
            "values": {label: {m: of[m][i] for m in of} for label, of in values.items()},
            "cases": {label: [rows[i].case for rows in of] for label, of in cases.items()},
        }
        for i, (image, group) in enumerate(zip(comparison.images, comparison.groups, strict=True))
    ]
