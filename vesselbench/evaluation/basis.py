"""What predictions and their threshold follow from: two evaluations with the same basis predict the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from vesselbench.config import Recipe
from vesselbench.plugins import Catalogue
from vesselbench.rundir import RunDir
from vesselbench.types import Sample

PARTS = {
    "weights": "the weights differ",
    "base_weights": "the base weights differ",
    "data": "the data differ",
    "phrases": "the samples of the set, their targets or phrases differ",
    "model": "the settings of the model differ",
    "precision": "the precision differs",
    "threshold": "the rule of the threshold differs",
    "program": "the version of the model's package differs",
}
"""Keys of a basis, and how a sentence begins when one is not the same."""


def basis_of_run(
    run: RunDir, recipe: Recipe, samples: Sequence[Sample], catalogue: Catalogue, weights_sha256: str, fingerprint: str
) -> dict[str, str]:
    """The parts of `PARTS`, plain or as SHA-256, for predictions of `samples` by the best weights of a run.

    `fingerprint` covers the ids, images and masks of the data, but not what a model is asked about them.
    """
    asked = sorted((sample.id, sample.target, sample.prompt) for sample in samples)
    base: Mapping[str, str] = run.record().get("base_weights") or {}
    return {
        "weights": weights_sha256,
        "base_weights": _hash(sorted(base.values())) if base else "none",
        "data": fingerprint,
        "phrases": _hash(asked),
        "model": _hash(recipe.model),
        "precision": recipe.train.precision,
        "threshold": str(recipe.evaluation.threshold),
        "program": _program(str(recipe.model["name"]), catalogue),
    }


def difference(now: Mapping[str, str], then: Mapping[str, str]) -> str | None:
    """A sentence on the first part that differs; None when none does."""
    for part, named in PARTS.items():
        if now.get(part) != then.get(part):
            return f"{named}: {_short(now, part)} now, {_short(then, part)} then"
    return None


def _short(parts: Mapping[str, str], part: str) -> str:
    text = parts.get(part, "not stated")
    return text[:12] if len(text) == hashlib.sha256().digest_size * 2 else text


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _program(model: str, catalogue: Catalogue) -> str:
    owner = catalogue.models.owners.get(model)
    for plugin in catalogue.plugins:
        if plugin.name == owner:
            return f"{plugin.distribution} {plugin.version}"
    return f"vesselbench {version('vesselbench')}"
