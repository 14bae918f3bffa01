"""What a recipe needs, said before anything is trained: parameters per part, bytes per ZeRO stage."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vesselbench.config import Recipe
from vesselbench.data.read import read_samples
from vesselbench.plugins import Catalogue
from vesselbench.recipes import model_settings
from vesselbench.training.memory import States, states
from vesselbench.types import Task, targets_of


@dataclass(frozen=True)
class Plan:
    """parts: (parameters, trainable ones) by name; notes: what the model says of them; stages: states per process,
    without activations."""

    parts: dict[str, tuple[int, int]]
    notes: tuple[str, ...]
    stages: tuple[States, ...]
    world: int
    precision: str

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values; `total` is in bytes."""
        stages = [{**asdict(stage), "total": stage.total} for stage in self.stages]
        counts = {"parts": self.parts, "notes": self.notes}
        return {**counts, "stages": stages, "world": self.world, "precision": self.precision}


def make_plan(recipe: Recipe, catalogue: Catalogue, world: int) -> Plan:
    """Count the model of a recipe (by the plugin's own footprint where it has one, else by building it)."""
    from vesselbench.model import build_model, count_parts

    task = Task(targets_of(read_samples(recipe.data, catalogue)))
    plugin, config = model_settings(recipe, catalogue)
    notes: tuple[str, ...] = ()
    if hasattr(plugin, "footprint"):
        footprint = plugin.footprint(config, task)
        parts, notes = dict(footprint.parts), footprint.notes
    else:
        parts = count_parts(build_model(recipe, task, catalogue))
    total, trainable = (sum(part[index] for part in parts.values()) for index in (0, 1))
    precision = recipe.train.precision
    stages = tuple(states(total - trainable, trainable, stage, world, precision) for stage in range(4))
    return Plan(parts, notes, stages, world, precision)
