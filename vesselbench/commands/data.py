"""The commands ``vesselbench data ...``; everything heavy is imported inside a command."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vesselbench.commands.shared import AsJson, Files, Overrides, emit, session, subject_of
from vesselbench.errors import UserError

if TYPE_CHECKING:
    from vesselbench.config import Recipe
    from vesselbench.data.limits.ceiling import Stating
    from vesselbench.plugins import Catalogue
    from vesselbench.watch import Watch

AllowLeak = Annotated[bool, typer.Option("--allow-leak", help="The same as data.allow_leak=true.")]
Leaks = Annotated[bool, typer.Option("--leaks", help="Print what stands in two sets instead; exit 1 if anything does.")]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Measure so many samples, evenly spaced; default: all.")
]
Target = Annotated[str, typer.Argument(metavar="FOLDER|RECIPE", help="A folder of images, or a recipe as elsewhere.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write the findings with pictures as one HTML file.")]
Fix = Annotated[Path | None, typer.Option("--fix", help="Write a mended copy into this new or empty folder.")]
AnnotationsOnly = Annotated[bool, typer.Option("--annotations-only", help="Neither need nor open images.")]
Folder = Annotated[Path, typer.Argument(help="A folder that is new or empty.")]
Images = Annotated[int, typer.Option("--images", min=30, help="Number of frames.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Every pixel and point follows from it.")]
Form = Annotated[Literal["labelme", "sa2va"], typer.Option("--form", help="Format of the annotations.")]
Written = Literal["arcade", "coco", "dicom", "labelme", "nifti", "pairs", "sa2va"]
To = Annotated[Written, typer.Option("--to", help="Format to write.")]
MaybeTo = Annotated[Written | None, typer.Option("--to", help="Default: coco, or pairs to keep fields of view.")]
Hide = Annotated[
    bool, typer.Option("--pseudonymise", help="Hashes for names, pixels only; the names go to FOLDER.mapping.csv.")
]
Model = Annotated[str | None, typer.Option("--model", help="With a folder: the recipe whose model is meant.")]
data_app = typer.Typer(help="Look at a data set before training.", no_args_is_help=True)


@data_app.command("check")
def data_check(
    name: Target,
    overrides: Overrides = None,
    config: Files = None,
    as_json: AsJson = False,
    html: Html = None,
    fix: Fix = None,
    annotations_only: AnnotationsOnly = False,
    model: Model = None,
) -> None:
    """Read every image and annotation of a folder or of a recipe's data set; exit 1 when there is an error."""
    from vesselbench.data.checking.check import check_data
    from vesselbench.data.checking.report import refuse_foreign, write_report
    from vesselbench.data.fixing.fix import fix_data, refuse_unfixable
    from vesselbench.terminal.results import findings_table

    with session() as (catalogue, watch):
        if html is not None:
            refuse_foreign(html)
        subject = subject_of(name, config, overrides, catalogue, watch, model)
        data, grids_of = subject.data, _grids(subject.recipe, catalogue, watch)
        if fix is not None:
            refuse_unfixable(data, fix)
        done = partial(watch.progress, "check")
        check = check_data(data, catalogue, annotations_only=annotations_only, grids_of=grids_of, progress=done)
        watch.line(check.summary())
    # before what may fail, and outside the session, whose bars take standard output on a terminal
    emit([asdict(finding) for finding in check.findings] if as_json else findings_table(check.findings))
    with session() as (catalogue, watch):
        if html is not None:
            write_report(check, html, name)
            watch.line(f"written: {html}")
        if fix is not None:
            watch.line(fix_data(data, check, catalogue, fix).summary())
    if check.failed:
        raise typer.Exit(1)


def _grids(recipe: Recipe | None, catalogue: Catalogue, watch: Watch) -> Stating | None:
    """The grids of the recipe's model; None without a recipe, or where its model does not state them, which is said."""
    from vesselbench.data.limits.ceiling import StatesGrids, stating

    if recipe is None or isinstance(catalogue.models[str(recipe.model["name"])], StatesGrids):
        return None if recipe is None else stating(recipe, catalogue)
    watch.line(
        f"the model {recipe.model['name']!r} does not state its grids: vessels too thin for it are not looked for"
    )
    return None


@data_app.command("convert")
def data_convert(
    name: Target,
    folder: Folder,
    to: To,
    overrides: Overrides = None,
    config: Files = None,
    as_json: AsJson = False,
) -> None:
    """Write a data set in another format and measure what that costs; write.masks, .holes and .tolerance say how."""
    from vesselbench.data.converting.convert import convert_data
    from vesselbench.data.converting.scene import write_options
    from vesselbench.data.converting.table import conversion_lines, conversion_table

    options, others = write_options(overrides or [])
    with session() as (catalogue, watch):
        data = subject_of(name, config, others, catalogue, watch).data
        done = convert_data(data, catalogue, folder, to, options, partial(watch.progress, "convert"))
        for line in conversion_lines(done):
            watch.line(line)
    emit(done.record() if as_json else conversion_table(done))


@data_app.command("import")
def data_import(
    name: Target,
    folder: Folder,
    overrides: Overrides = None,
    config: Files = None,
    to: MaybeTo = None,
    pseudonymise: Hide = False,
    as_json: AsJson = False,
) -> None:
    """Write a checked, self-contained copy of a data set, on request without the names of patients and files."""
    from vesselbench.data.converting.importing import import_data
    from vesselbench.data.converting.table import conversion_table, import_lines

    with session() as (catalogue, watch):
        data = subject_of(name, config, overrides, catalogue, watch).data
        done = partial(watch.progress, "import")
        imported = import_data(data, catalogue, folder, to, pseudonymise=pseudonymise, progress=done)
        for line in import_lines(imported):
            watch.line(line)
    emit(imported.conversion.record() if as_json else conversion_table(imported.conversion))


@data_app.command("replay")
def data_replay(folder: Folder, images: Images = 1220, seed: Seed = 0, form: Form = "labelme") -> None:
    """Draw a look-alike of a real data set with the faults it had, to try the tools on."""
    from vesselbench.data.synthetic.replay import draw_replay

    with session() as (_, watch):
        draw_replay(folder, images, seed, form, partial(watch.progress, "replay"))
        watch.line(f"written: {folder}; look at it with `vesselbench data check {folder}`")


@data_app.command("split")
def data_split(
    name: Target, overrides: Overrides = None, config: Files = None, allow_leak: AllowLeak = False, leaks: Leaks = False
) -> None:
    """Print the split of a data set as JSON, as data.split.file takes it; what is in each set on stderr."""
    from vesselbench.data.dataset import load_dataset
    from vesselbench.data.splitting.leaks import leak_records

    with session() as (catalogue, watch):
        data = subject_of(name, config, overrides, catalogue, watch).data
        allowed = data.model_copy(update={"allow_leak": data.allow_leak or allow_leak or leaks})
        dataset = load_dataset(allowed, catalogue)
        for line in dataset.described():
            watch.line(line)
    emit(leak_records(dataset.leaks) if leaks else asdict(dataset.split))
    if leaks and dataset.leaks and not (data.allow_leak or allow_leak):
        raise typer.Exit(1)


@data_app.command("ceiling")
def data_ceiling(
    name: Target,
    overrides: Overrides = None,
    config: Files = None,
    limit: Limit = None,
    as_json: AsJson = False,
    model: Model = None,
) -> None:
    """Measure what the model's own grids cost before any learning: the best Dice and clDice it can reach."""
    from vesselbench.data.limits.ceiling import ceiling_record, evenly, measure_ceiling, stating
    from vesselbench.data.read import read_samples
    from vesselbench.terminal.data import ceiling_tables

    with session() as (catalogue, watch):
        recipe = subject_of(name, config, overrides, catalogue, watch, model).recipe
        if recipe is None:
            raise UserError(f"{name} is a folder: of which model?", "add --model RECIPE, for example --model sa2va-8b")
        grids_of = stating(recipe, catalogue)
        samples = evenly(read_samples(recipe.data, catalogue), limit)
        done = partial(watch.progress, "ceiling", total=len(samples))
        ceiling = measure_ceiling(samples, recipe.name, grids_of, done)
    emit(ceiling_record(ceiling) if as_json else ceiling_tables(ceiling))


@data_app.command("ledger")
def data_ledger(name: Target, overrides: Overrides = None, config: Files = None, as_json: AsJson = False) -> None:
    """Show how often the test set was scored and by what, and verify the chain; exit 1 when it is broken."""
    from vesselbench.data.dataset import load_dataset
    from vesselbench.ledger import ledger_record, read_ledger
    from vesselbench.terminal.data import ledger_table

    with session() as (catalogue, watch):
        data = subject_of(name, config, overrides, catalogue, watch).data
        ledger = read_ledger(load_dataset(data, catalogue).test_set)
        for fault in ledger.faults:
            watch.line(f"broken: {fault}")
        watch.line(f"{len(ledger.entries)} scorings in {ledger.path}")
    emit(ledger_record(ledger) if as_json else ledger_table(ledger))
    if ledger.faults:
        raise typer.Exit(1)
