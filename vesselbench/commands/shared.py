"""What all commands share: their arguments, the session they run in, and how results reach standard output."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesselbench.errors import UserError

if TYPE_CHECKING:
    from vesselbench.config import DataConfig, Recipe
    from vesselbench.plugins import Catalogue
    from vesselbench.rundir import RunDir
    from vesselbench.watch import Watch

Name = Annotated[str, typer.Argument(help="A recipe's name, a YAML file, or a model's name.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Such as train.steps=100.")]
Files = Annotated[list[str] | None, typer.Option("-c", "--config", help="YAML merged over the recipe; repeatable.")]
Runs = Annotated[Path, typer.Option("--runs", help="Folder of the runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Nproc = Annotated[int | None, typer.Option("--nproc", min=1, help="Processes; default: one per GPU, else one.")]
Hidden = Annotated[bool, typer.Option("--pseudonymise", help="Replace ids and groups in the report by hashes.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with a run: NAME is its folder, or a recipe whose newest run is taken."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what it will do, go the whole road in two steps, leave nothing behind.")
]
Keep = Annotated[bool, typer.Option("--keep-dry-run", help="Leave the folder of a dry run where it is.")]
ResumeIn = Annotated[Path | None, typer.Option("--resume-in", hidden=True)]  # the starter of ranks has chosen the run
RUNS = Path("runs")


@contextmanager
def session() -> Iterator[tuple[Catalogue, Watch]]:
    """The catalogue, and progress on standard error; a plugin that was left out is named there. Of several processes
    the first one alone says anything."""
    from vesselbench.jobs import is_first
    from vesselbench.plugins import load_catalogue
    from vesselbench.terminal.console import ConsoleWatch
    from vesselbench.watch import Silent

    catalogue = load_catalogue()
    speaking: AbstractContextManager[Watch] = ConsoleWatch() if is_first() else nullcontext(Silent())
    with speaking as watch:
        for plugin in catalogue.plugins:
            if plugin.error:
                watch.line(f"plugin {plugin.name} was left out: {plugin.error}")
        yield catalogue, watch


def recipe_of(
    name: str,
    files: list[str] | None,
    overrides: list[str] | None,
    catalogue: Catalogue,
    watch: Watch,
    data: DataConfig | None = None,
) -> Recipe:
    """The recipe, after saying which built-in stand-ins it uses and what shaped it; `data` stands in for its own."""
    from vesselbench.provenance import started_by_another
    from vesselbench.recipes import load_recipe, stand_ins

    recipe, steps = load_recipe(name, catalogue, files or [], overrides or [])
    if data is not None:
        recipe = recipe.model_copy(update={"data": data})
    if not started_by_another():
        for text in [*stand_ins(recipe), *steps]:
            watch.line(text)
    return recipe


@dataclass(frozen=True)
class Subject:
    """What a data command looks at. `recipe`: the one that was named, or that of `--model`; None for a bare folder."""

    data: DataConfig
    recipe: Recipe | None


def subject_of(
    name: str,
    files: list[str] | None,
    overrides: list[str] | None,
    catalogue: Catalogue,
    watch: Watch,
    model: str | None = None,
) -> Subject:
    """The data of a folder or of a recipe; `model`: the recipe that goes with a folder, of whose data nothing counts.

    Raises UserError for a folder that is not there, and for a `model` beside a recipe.
    """
    from vesselbench.data.checking.target import data_of_folder

    if not Path(name).is_dir():
        if "/" in name and not name.endswith((".yaml", ".yml")):
            raise UserError(f"{name} is not a folder", "check the path (it is relative to where you start)")
        if model is not None:
            raise UserError(f"{name} is a recipe already", "leave out --model, which goes with a folder")
        recipe = recipe_of(name, files, overrides, catalogue, watch)
        return Subject(recipe.data, recipe)
    others = [text for text in overrides or [] if model is not None and not text.startswith("data.")]
    data, said = data_of_folder(Path(name), files or [], [text for text in overrides or [] if text not in others])
    watch.line(said)
    if model is None:
        return Subject(data, None)
    return Subject(data, recipe_of(model, files, others, catalogue, watch, data))


def training_of(
    name: str,
    files: list[str] | None,
    overrides: list[str] | None,
    runs: Path,
    catalogue: Catalogue,
    watch: Watch,
    resume: bool,
    resume_in: Path | None,
) -> tuple[Recipe, RunDir | None]:
    """The recipe to train, and the run to go on with: None for a new one."""
    from vesselbench.resume import find_unfinished
    from vesselbench.rundir import RunDir

    if resume:
        return find_unfinished(name, files or [], overrides or [], runs, catalogue, watch)
    recipe = recipe_of(name, files, overrides, catalogue, watch)
    return recipe, None if resume_in is None else RunDir.open(resume_in)


def emit(value: Any) -> None:
    """JSON for plain values, else whatever rich draws, on standard output."""
    if isinstance(value, dict | list):
        typer.echo(json.dumps(value, indent=1, default=str))
        return
    from rich.console import Console

    Console().print(value)
