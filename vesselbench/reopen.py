"""A run taken up again: its recipe, its data and its base weights, if they still are what they were."""

from __future__ import annotations

from typing import Any

from vesselbench.config import Recipe
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.recipes import model_settings, read_yaml, validate_recipe
from vesselbench.rundir import RunDir
from vesselbench.types import SET_NAMES, Split


def open_recipe(run: RunDir, catalogue: Catalogue) -> Recipe:
    """The recipe that a run was trained with."""
    return validate_recipe(read_yaml(run.config), catalogue)


def same_split(one: Split, other: Split) -> bool:
    """Whether two splits deal the same data out in the same way."""
    return one.fingerprint == other.fingerprint and all(
        set(one.sets[name]) == set(other.sets[name]) for name in SET_NAMES
    )


def differences(recipe: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ, with both values.

    A key that one of the two leaves to its rules and that the other's rules have set does not differ: the rules give it
    what the data ask for. One that somebody set himself does.
    """
    ours, theirs = flatten(recipe.model_dump(mode="json")), flatten(other.model_dump(mode="json"))
    by_rule = set(recipe.configure) & {*other.configure, *other.configured}
    by_rule |= set(other.configure) & set(recipe.configured) | {"configure", "configured"}
    keys = sorted((ours.keys() | theirs.keys()) - by_rule)
    return {key: (ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)}


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def open_dataset(run: RunDir, recipe: Recipe, catalogue: Catalogue) -> Dataset:
    """The data of a run as they are now; UserError when they are no longer what it was trained on."""
    dataset = load_dataset(recipe.data, catalogue)
    if not same_split(dataset.split, run.split()):
        now, then = dataset.split.fingerprint[:12], run.split().fingerprint[:12]
        raise UserError(
            f"the data or the split of {run.path} have changed since it was trained (fingerprint {now}, then {then})",
            "restore the data, or train again",
        )
    return dataset


def check_base(run: RunDir, recipe: Recipe, catalogue: Catalogue) -> None:
    """UserError when a file of the base weights is no longer the one that the run was trained on.

    A checkpoint holds the trained parameters only: on another base they are another model, without any sign of it.
    """
    plugin, config = model_settings(recipe, catalogue)
    then: dict[str, str] = run.record().get("base_weights", {})
    now = plugin.base_weights(config) if hasattr(plugin, "base_weights") else {}
    for path in sorted({*then, *now}):
        if then.get(path) != now.get(path):
            raise UserError(
                f"{path} is not the base that {run.path} was trained on: "
                f"SHA-256 now {now.get(path, 'none')}, then {then.get(path, 'none')}",
                "restore that file, or train again",
            )
