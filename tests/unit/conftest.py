"""Finished runs on disk, written through RunDir as training and evaluation write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from vesselbench.config import Recipe
from vesselbench.recipes import dump_recipe, merge
from vesselbench.rundir import RunDir, write_jsonl, write_text
from vesselbench.types import ScoreRow, Scores, Split

FINGERPRINT = "f1" * 32
RECORD = {
    "status": "finished",
    "model": "unet",
    "started": "2026-01-01T10:00:00+0000",
    "finished": "2026-01-01T10:02:00+0000",
    "train_seconds": 120.0,
    "seconds_per_step": 0.5,
    "samples_per_second": 8.0,
    "steps": 200,
    "batch_size": 4,
    "zero_stage": 3,
    "world": 1,
    "device": "cpu",
    "precision": "fp32",
    "seed": 42,
    "parameters": {"total": 400_000, "trainable": 400_000, "parts": {"net": [400_000, 400_000]}},
    "task": {"targets": ["vessel"], "channels": 3},
    "base_weights": {},
    "weights": "random",
    "best_step": 150,
    "best_score": 0.8,
    "last_step": 200,
    "threshold": 0.4,
    "peak_memory_bytes": None,
    "versions": {"python": "3.11.9", "torch": "2.13.0"},
    "plugins": ["builtin (vesselbench 0.1.0)"],
    "git": None,
    "command": "vesselbench train unet",
}

Values = Mapping[str, float | Mapping[str, float | None] | None]
WriteRun = Callable[..., RunDir]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write a run below tmp_path/runs: `values` by image id (a number is the dice), `groups` by image id.

    `config`, `summary` and the remaining keywords (run.json) change single keys.
    """

    def write(
        recipe: str,
        values: Values,
        groups: Mapping[str, str] | None = None,
        *,
        fingerprint: str = FINGERPRINT,
        train: tuple[str, ...] = ("t1", "t2"),
        val: tuple[str, ...] = ("v1",),
        test: tuple[str, ...] | None = None,
        config: Mapping[str, Any] | None = None,
        summary: Mapping[str, Any] | None = None,
        observer2: Values | None = None,
        better: str = "higher",
        primary: str = "dice",
        hashes: Mapping[str, str] | None = None,
        cases: Mapping[str, str] | None = None,
        **record: Any,
    ) -> RunDir:
        run = RunDir.new(tmp_path / "runs", recipe)
        names = next(iter(values.values()))
        family = sorted(set(names) - {"dice"}) if isinstance(names, Mapping) else []
        plan = {"primary": "dice", "margin": 0.01, "family": family, "unit": "group"}
        seed = {"seed": record.get("seed", 42)}
        plain = Recipe(name=recipe, model={"name": "unet"}, train=seed)
        write_text(run.config, dump_recipe(Recipe.model_validate(merge(plain.model_dump(mode="json"), config or {}))))
        run.update(**{**RECORD, "recipe": recipe, "declared": plan, "split_fingerprint": fingerprint, **record})
        run.write_split(Split("phantom", 0, {"train": train, "val": val, "test": test or tuple(values)}, fingerprint))
        rows = rows_of(values, groups or {}, hashes or {}, cases or {})
        weights = f"{recipe}-{run.path.name}".encode().hex()
        scores = Scores(tuple(rows), "test", 0.4, fingerprint, dict.fromkeys(rows[0].values, 1), weights)
        run.write_scores(scores, {**summary_of(scores, better, primary), **(summary or {})})
        if observer2 is not None:
            write_jsonl(run.observer_file("test"), (vars(row) for row in rows_of(observer2, groups or {}, {}, {})))
        return run

    return write


def rows_of(
    values: Values, groups: Mapping[str, str], hashes: Mapping[str, str], cases: Mapping[str, str]
) -> list[ScoreRow]:
    full = {i: value if isinstance(value, Mapping) else {"dice": value} for i, value in values.items()}
    return [
        ScoreRow(
            id=i,
            group=groups.get(i, i),
            target="vessel",
            values=value,
            case=cases.get(i, "ok"),
            reasons={name: "not defined here" for name, one in value.items() if one is None},
            mask_sha256=hashes.get(i, ""),
        )
        for i, value in full.items()
    ]


def summary_of(scores: Scores, better: str, primary: str) -> dict[str, Any]:
    entry = {"better": better, "mean": None, "median": None, "count": 0, "none": 0}
    return {
        "set_name": scores.set_name,
        "threshold": scores.threshold,
        "threshold_from": "validation",
        "fingerprint": scores.fingerprint,
        "metric_versions": dict(scores.metric_versions),
        "weights_sha256": scores.weights_sha256,
        "primary": primary,
        "metrics": dict.fromkeys(scores.metric_versions, entry),
        "images_per_second": 12.0,
    }
