"""The commands ``vesselbench data ...``; everything heavy is imported inside a command."""

from __future__ import annotations

from dataclasses import asdict

import typer

from vesselbench.commands import AsJson, Files, Name, Overrides, emit, recipe_of, session

data_app = typer.Typer(help="Look at a data set before training.", no_args_is_help=True)


@data_app.command("check")
def data_check(name: Name, overrides: Overrides = None, config: Files = None, as_json: AsJson = False) -> None:
    """Read every image and annotation of a recipe's data set; exit 1 when something is wrong."""
    from vesselbench.data.check import check_samples
    from vesselbench.data.read import read_samples
    from vesselbench.tables import findings_table

    with session() as (catalogue, watch):
        findings = check_samples(read_samples(recipe_of(name, config, overrides, catalogue, watch).data, catalogue))
    emit([asdict(finding) for finding in findings] if as_json else findings_table(findings))
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


@data_app.command("split")
def data_split(name: Name, overrides: Overrides = None, config: Files = None) -> None:
    """Print the split that a recipe makes as JSON, as data.split.file takes it."""
    from vesselbench.data.dataset import load_dataset

    with session() as (catalogue, watch):
        dataset = load_dataset(recipe_of(name, config, overrides, catalogue, watch).data, catalogue)
    emit(asdict(dataset.split))
