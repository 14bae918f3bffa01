"""The whole plugin contract: five pluggy hooks, none of them firstresult.

A plugin is found by an entry point in the group ``vesselbench`` and registers things by name; which one is used is
chosen by name in the recipe, never by load order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pluggy

from vesselbench.types import Example, Footprint, Prediction, Sample, Scores, Task

if TYPE_CHECKING:
    import torch
    import typer
    from pydantic import BaseModel

PROJECT = "vesselbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ModelPlugin(Protocol):
    """A model by name. `Config` is a pydantic model; see vesselbench.model for what `build` must return.

    Optional methods, used when present: ``footprint(config, task) -> Footprint``,
    ``training_collator(config, task)`` (the collator of training batches, when it is another one),
    ``by_image(config) -> bool`` (draw all samples of an image at once),
    ``check_samples(config, sets) -> None`` (UserError for samples that cannot be learned or predicted; before the run),
    ``reads_prompt(config) -> bool`` (the phrase of a sample changes what is drawn),
    ``part_of(name) -> str`` (the part of the model to which a parameter is counted),
    ``alternatives(config) -> list[list[str]]`` (parts of which the loss may choose one and leave the others idle),
    ``grids(config, size) -> vesselbench.grids.Grids`` (where resolution is lost),
    ``param_groups(module, lr) -> list[dict]``, ``leaf_modules() -> list[type]`` (blocks that ZeRO-3 gathers at once),
    ``skeleton(config, task) -> Module | None`` and ``fill(module, config, settle)`` (a model that can be built split
    over the ranks), ``rules(config, traits) -> dict[str, vesselbench.traits.Choice]`` (self-configuration from the
    training images, docs/baselines.md), ``export`` and ``reopen`` (`ModelWithExport`), ``choices(config) ->
    Sequence[Config]`` (a model with nothing to train, `ModelWithChoices`).
    """

    name: str
    Config: type[BaseModel]

    def build(self, config: Any, task: Task) -> torch.nn.Module:
        """Make the module from configuration, on CPU, with `requires_grad` set as it is to be trained."""
        ...

    def collator(self, config: Any, task: Task) -> Callable[[list[Example]], dict[str, Any]]:
        """A picklable function that turns Examples into the tensors of ``Batch.inputs`` (CPU only)."""
        ...


class ModelWithFootprint(ModelPlugin, Protocol):
    """A model that can count itself without being built."""

    def footprint(self, config: Any, task: Task) -> Footprint: ...


Reopened = Callable[[], "tuple[torch.nn.Module, Callable[[list[Example]], dict[str, Any]]]"]
"""Reads one exported form again: a module ready to predict, and the collator that belongs to it."""


class ModelWithExport(ModelPlugin, Protocol):
    """A model that has a form of its own for the world outside; without these two, `vesselbench.export` writes one file
    of all parameters and buffers.
    """

    def export(self, module: torch.nn.Module, config: Any, folder: Path) -> dict[str, list[str]]:
        """Write a trained module (plain, on CPU, in the type it is held in) into `folder`, which is there and empty.

        Returns sections of the model card, heading -> lines of Markdown, which are added to the core's of that heading;
        those of "Contents" are also shown to the user. The core writes README.md, config.yaml and export.json itself.
        """
        ...

    def reopen(self, config: Any, task: Task, folder: Path) -> dict[str, Reopened]:
        """Every form that `export` wrote, by name, to be read from the files alone; each must predict what the run
        predicts. Called one after the other, each with torch's generator seeded as for `build`.
        """
        ...


class ModelWithChoices(ModelPlugin, Protocol):
    """A model with nothing to train. Its module needs no ``loss``, has no trainable parameter, and holds what it draws
    by in persistent buffers, so that its weights file tells one setting from another.

    ``train`` scores every one of its `choices` on the validation set and keeps the best.
    """

    def choices(self, config: Any) -> Sequence[Any]:
        """Complete settings among which the validation set chooses, at least one, as `config` leaves them open. Of
        equal ones the first wins. What the recipe states is in all of them; `choices` of one of them is that one.
        """
        ...


class DatasetFormat(Protocol):
    """A way annotations are stored. `read` yields Samples and raises UserError with file, index and cure."""

    name: str

    def read(self, root: Path, options: dict[str, Any]) -> Iterator[Sample]: ...


class Metric(Protocol):
    """A score of one prediction. None means "cannot be computed here" and is counted, never dropped.

    `kind` asks for the empty-mask policy: "overlap" (both empty 1, one empty 0), "distance" (both empty 0, one empty
    the image diagonal) or "none" (the metric is called whatever the masks are).
    """

    name: str
    better: Literal["higher", "lower"]
    version: int
    kind: Literal["overlap", "distance", "none"]

    def __call__(self, prediction: Prediction, example: Example) -> float | None: ...


class Tracker(Protocol):
    """Receives what a run logs: the values of a line of train.jsonl, or the means of a validation (``val/...``), which
    may come before the first step. Made on rank 0 only, and only when the recipe names it.
    """

    name: str

    def start(self, run: Path) -> None: ...

    def log(self, step: int, values: dict[str, float]) -> None: ...

    def finish(self, scores: Scores | None) -> None: ...


@hookspec
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Call ``register(model)`` for each ModelPlugin."""


@hookspec
def register_datasets(register: Callable[[DatasetFormat], None]) -> None:
    """Call ``register(format)`` for each DatasetFormat."""


@hookspec
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Call ``register(metric)`` for each Metric."""


@hookspec
def register_trackers(register: Callable[[type[Tracker]], None]) -> None:
    """Call ``register(tracker_class)`` for each Tracker class."""


@hookspec
def register_commands(cli: typer.Typer) -> None:
    """Add typer commands to `cli`."""
