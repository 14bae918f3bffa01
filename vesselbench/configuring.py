"""Self-configuration: the keys that a recipe leaves to rules get their values from the training images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from vesselbench.config import Recipe
from vesselbench.data.cache import open_cache
from vesselbench.data.dataset import Dataset
from vesselbench.data.traits import measure_traits
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue, nearest
from vesselbench.recipes import dump_settings, merge, model_settings, validate_recipe
from vesselbench.traits import Choice, Traits


def configured(
    recipe: Recipe, dataset: Dataset, catalogue: Catalogue, device: torch.device, bf16: bool | None = None
) -> tuple[Recipe, str | None]:
    """The recipe with every key of its ``configure`` set by the model's rules, and the plan in words (see `plan_text`).

    A recipe that leaves nothing to rules comes back as it is, without a plan. Only training images are looked at.
    `bf16`: whether the training's device multiplies in bfloat16, where that is not `device`.
    Raises UserError for a model without rules and for a key that it has no rule for.
    """
    if not recipe.configure:
        return recipe, None
    plugin, config = model_settings(recipe, catalogue)
    if not hasattr(plugin, "rules"):
        raise UserError(f"the model {plugin.name!r} has no rules of self-configuration", "leave `configure` out")
    traits = measure_traits(dataset.of("train"), device, open_cache(recipe.data))
    traits = traits if bf16 is None else replace(traits, bf16=bf16)
    choices: dict[str, Choice] = plugin.rules(config, traits)
    for key in recipe.configure:
        if key not in choices:
            raise UserError(f"configure: {plugin.name!r} has no rule for {key!r}", nearest(key, list(choices)))
    chosen = {key: choices[key] for key in recipe.configure}
    values: dict[str, Any] = recipe.model_dump(mode="json")
    for key, choice in chosen.items():
        values = merge(values, nested(key, choice.value))
        if key == "train.steps":
            values["train"] |= {"epochs": None, "samples": None, "minutes": None}
    values |= {"configure": [], "configured": list(chosen)}
    return validate_recipe(values, catalogue), plan_text(traits, chosen)


def plan_text(traits: Traits, choices: Mapping[str, Choice]) -> str:
    """YAML that a person can read, change and use with ``-c``: what was found, each value, and the reason above it."""
    lines = [
        "# The plan that the training images led to. Values of your own replace these: change them here and give the",
        "# file with -c, or set them on the command line.",
        *(f"# found: {line}" for line in traits.lines()),
    ]
    tree: dict[str, Any] = {}
    for key, choice in choices.items():
        lines.append(f"# {key}: {choice.reason}")
        tree = merge(tree, nested(key, choice.value))
    return "\n".join(lines) + "\n" + dump_settings(tree)


def nested(key: str, value: Any) -> dict[str, Any]:
    """``a.b`` and a value as a mapping of mappings."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)
