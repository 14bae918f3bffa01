"""What is fixed before the test set is scored: primary metric, margin of equivalence, family of metrics, unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vesselbench.config import Recipe
from vesselbench.errors import UserError
from vesselbench.types import Sample


@dataclass(frozen=True)
class Declared:
    """The plan of a comparison, as a recipe fixes it and run.json records it when training starts."""

    primary: str
    margin: float
    """Differences of the primary metric up to this count as equivalence, in the metric's own unit."""
    family: tuple[str, ...]
    """Secondary metrics that are judged, with Holm's correction over all of them."""
    unit: str
    """What is sampled and resampled, "singular/plural"."""


def declare(recipe: Recipe, samples: Sequence[Sample]) -> Declared:
    """The plan of a recipe on its samples. A unit that it does not name is "group", or "image" without groups."""
    alone = all(sample.group in ("", sample.id) for sample in samples)
    unit = recipe.data.unit or ("image" if alone else "group")
    plan = recipe.evaluation
    return Declared(plan.primary, plan.margin, tuple(plan.secondary), unit)


def declared_record(declared: Declared) -> dict[str, Any]:
    """As run.json holds it under ``declared``."""
    return asdict(declared)


def read_declared(record: Mapping[str, Any], where: object) -> Declared | None:
    """The plan in a run.json; None in one of a version that recorded none. UserError names a key that is not right."""
    held = record.get("declared")
    if held is None:
        return None
    try:
        family = tuple(str(name) for name in held["family"])
        return Declared(str(held["primary"]), float(held["margin"]), family, str(held["unit"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: 'declared' is damaged: {error!r}", "train it again") from None


def counted(number: int, unit: str) -> str:
    """ "8 children" for (8, "child/children"); a unit without a plural gets an s."""
    one, _, many = unit.partition("/")
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def plural(unit: str) -> str:
    """ "children" for "child/children"; a unit without a plural gets an s."""
    return counted(2, unit).removeprefix("2 ")
