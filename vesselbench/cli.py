"""The command line. It and `commands` alone print results and exit; everything heavy is imported inside a command."""

from __future__ import annotations

import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vesselbench.commands.bench import bench
from vesselbench.commands.curve import curve
from vesselbench.commands.data import data_app
from vesselbench.commands.report import end_at_gates, report, show_contest
from vesselbench.commands.results import results_app
from vesselbench.commands.runs import runs_app
from vesselbench.commands.shared import (
    RUNS,
    AsJson,
    DryRun,
    Files,
    Hidden,
    Keep,
    Name,
    Nproc,
    Overrides,
    Resume,
    ResumeIn,
    Runs,
    emit,
    recipe_of,
    session,
    training_of,
)
from vesselbench.errors import UserError

app = typer.Typer(
    help="Train, score and honestly compare vessel segmenters.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(data_app, name="data")
app.add_typer(runs_app, name="runs")
app.add_typer(results_app)
app.command()(report)
app.command()(curve)
app.command()(bench)


@app.command()
def train(
    name: Name,
    overrides: Overrides = None,
    config: Files = None,
    runs: Runs = RUNS,
    nproc: Nproc = None,
    resume: Resume = False,
    resume_in: ResumeIn = None,
    dry_run: DryRun = False,
    keep_dry_run: Keep = False,
) -> None:
    """Train a model into a new run folder (or go on with one) and score it on the validation set."""
    from vesselbench.contest import rehearse_recipe, train_recipe
    from vesselbench.provenance import started_by_another

    with session() as (catalogue, watch):
        recipe, resumed = training_of(name, config, overrides, runs, catalogue, watch, resume, resume_in)
        if dry_run or keep_dry_run:
            rehearse_recipe(recipe, catalogue, runs, nproc, watch, resumed, keep_dry_run)
            raise typer.Exit
        run = train_recipe(recipe, catalogue, runs, nproc, watch, resumed)
    if run is not None and not started_by_another():
        best = run.record()["best_score"]
        shown = "without value" if best is None else f"{best:.4f}"
        typer.echo(f"{run.path}: best validation {recipe.train.keep_best or recipe.evaluation.primary} {shown}")
        typer.echo(f"next: vesselbench evaluate {run.path}")


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    set_name: Annotated[str, typer.Option("--set", help="train, val or test.")] = "test",
    convention: Annotated[list[str] | None, typer.Option(help="Score by it too: docs/metrics.md; repeatable.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Predict anew even what is stored and still holds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score a finished run on one of its sets; stored predictions of the same weights and data are used again."""
    from vesselbench.rundir import RunDir, check_set_name, read_json
    from vesselbench.runs import score_run
    from vesselbench.terminal.results import convention_tables, summary_table

    chosen, opened = check_set_name(set_name), RunDir.open(run)
    with session() as (catalogue, watch):
        score_run(opened, chosen, catalogue, watch, again, convention or ())
    summary = read_json(opened.evaluation(chosen) / "summary.json")
    for part in [summary] if as_json else [summary_table(summary), *convention_tables(summary)]:
        emit(part)


@app.command()
def compare(
    names: Annotated[list[str], typer.Argument(metavar="NAME... [KEY=VALUE]...", help="Recipes or run folders.")],
    config: Files = None,
    runs: Runs = RUNS,
    nproc: Nproc = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="Average each model over seeds, such as 0,1,2.")] = None,
    margin: Annotated[
        float | None, typer.Option("--margin", min=0, help="Margin after the fact; it will be said.")
    ] = None,
    no_train: Annotated[bool, typer.Option("--no-train", help="Refuse to train what has no run yet.")] = False,
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="Exit 3 if the first is worse than another.")
    ] = False,
    fail_unless_better: Annotated[
        bool, typer.Option("--fail-unless-better", help="Exit 3 unless the first is better than all.")
    ] = False,
    pseudonymise: Hidden = False,
    as_json: AsJson = False,
) -> None:
    """Compare models on their common test set; what has no finished run on this split is trained first."""
    from vesselbench.comparing.gates import failed_gates
    from vesselbench.contest import Settings, hold_contest, parse_seeds
    from vesselbench.runs import Wanted

    overrides = [text for text in names if "=" in text and not Path(text).exists()]
    settings = Settings(runs, nproc, not no_train, pseudonymise, parse_seeds(seeds), margin)
    with session() as (catalogue, watch):
        wanted = Wanted(config or [], overrides)
        contest = hold_contest([n for n in names if n not in overrides], wanted, settings, catalogue, watch)
    show_contest(*contest, as_json)
    end_at_gates(failed_gates(contest[0], if_worse=fail_if_worse, unless_better=fail_unless_better))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A finished run's folder.")],
    to: Annotated[Path, typer.Option("--to", help="New folder for the weights, the recipe and the model card.")],
) -> None:
    """Write a run's best weights for use elsewhere, read them again, and check what they predict."""
    from vesselbench.export import export as export_run
    from vesselbench.rundir import RunDir

    opened = RunDir.open(run)
    with session() as (catalogue, watch):
        folder = export_run(opened, to, catalogue, watch)
    typer.echo(f"{folder}: read {folder / 'README.md'} before you pass it on")


@app.command()
def plan(
    name: Name,
    overrides: Overrides = None,
    config: Files = None,
    nproc: Annotated[int, typer.Option("--nproc", "--gpus", min=1, help="Processes, one per device.")] = 1,
    device: Annotated[str, typer.Option(help="Such as rtx3090 or a100-80, or a YAML file.")] = "cpu-2core",
    interconnect: Annotated[str | None, typer.Option(help="Such as pcie4 or nvlink3, or a YAML file.")] = None,
    probe: Annotated[bool, typer.Option("--probe", help="Calibrate seconds by a few steps on this machine.")] = False,
    probe_to: Annotated[Path | None, typer.Option(hidden=True)] = None,
    probe_most: Annotated[int, typer.Option(hidden=True)] = 1,
    as_json: AsJson = False,
) -> None:
    """Show parameters, memory per rank, seconds per step, hours, and the settings that fit."""
    from vesselbench.planner import make_plan, settled
    from vesselbench.probing import calibrated, write_probe
    from vesselbench.terminal.plans import plan_tables

    with session() as (catalogue, watch):
        recipe = recipe_of(name, config, overrides, catalogue, watch)
        if probe_to is not None:
            return write_probe(recipe, catalogue, probe_to, probe_most)
        recipe, said = settled(recipe, catalogue, device)
        for text in said:
            watch.line(text)
        made = make_plan(recipe, catalogue, nproc, device, interconnect)
        made = calibrated(made, recipe) if probe else made
    for part in [made.as_json()] if as_json else plan_tables(made):
        emit(part)
    return None


@app.command()
def plugins(as_json: AsJson = False) -> None:
    """List the installed plugins, what they register, and why one was left out."""
    from vesselbench.plugins import load_catalogue
    from vesselbench.terminal.results import plugins_table

    records = load_catalogue().plugins
    emit([asdict(record) for record in records] if as_json else plugins_table(records))


@app.command("config")
def show_config(
    name: Name,
    overrides: Overrides = None,
    config: Files = None,
    explain: Annotated[str | None, typer.Option(help="A key such as train.lr: say what it does.")] = None,
) -> None:
    """Print the complete recipe, or explain one of its keys."""
    from vesselbench.recipes import dump_recipe, explain_key

    with session() as (catalogue, watch):
        recipe = recipe_of(name, config, overrides, catalogue, watch)
    typer.echo(explain_key(recipe, explain, catalogue) if explain else dump_recipe(recipe).rstrip())


@app.command()
def env() -> None:
    """Print the versions that results depend on."""
    from vesselbench.provenance import source_revision, versions

    for name, number in {**versions(), "source": source_revision() or "not a checkout"}.items():
        typer.echo(f"{name} {number}")


def main() -> None:
    """Entry point: a UserError becomes two lines on standard error and exit code 2."""
    from vesselbench import jobs
    from vesselbench.jobs import INTERRUPTED, STOPPED, LaunchError, StoppedError, end, is_rank, may_speak
    from vesselbench.plugins import add_commands

    sys.argv = jobs.without_launchers_words(sys.argv)
    try:
        for text in add_commands(app):
            typer.echo(text, err=True)
        app()
    except (SystemExit, KeyboardInterrupt) as stop:
        code = INTERRUPTED if isinstance(stop, KeyboardInterrupt) else stop.code
        if code == INTERRUPTED and may_speak():
            typer.echo("ended at once by Ctrl-C: what was not saved before is lost", err=True)
        end(code if isinstance(code, int) else int(code is not None))
    except UserError as error:
        if may_speak(error.everywhere):
            hint = f"\n  try: {error.hint}" if error.hint else ""
            typer.echo(f"error: {error.message}{hint}", err=True)
        end(2)
    except StoppedError as stopped:
        if may_speak(stopped.everywhere):
            more = f"go on with: {stopped.hint}" if stopped.hint else "no run was begun"
            typer.echo(f"{stopped}\n  {more}", err=True)
        end(STOPPED)
    except LaunchError as failure:
        if failure.silent:
            typer.echo(f"error: {failure}\n  try: look at the memory it needs (vesselbench plan); free some", err=True)
        end(failure.code)
    except Exception:
        if is_rank() and not may_speak():  # another process has said why; this one only lost its connection to it
            end(1)
        if is_rank():
            traceback.print_exc()
            end(1)
        raise
