"""The command ``vesselbench report``, and how a comparison is shown; everything heavy is imported inside."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vesselbench.commands.shared import RUNS, AsJson, Hidden, emit, session
from vesselbench.errors import UserError

if TYPE_CHECKING:
    from vesselbench.report.training import LogFacts

Things = Annotated[list[Path], typer.Argument(metavar="RUN... | LOG", help="Run folders, or one log of mmengine.")]
To = Annotated[Path | None, typer.Option("--to", help="Write into a new folder below this one.")]
NoData = Annotated[bool, typer.Option("--no-data", help="Do not check the run's data again.")]
Kind = Literal["micro-batches", "optimizer-steps"]
Iterations = Annotated[Kind | None, typer.Option("--iterations-are", help="LOG: what an iteration is.")]
World = Annotated[int, typer.Option("--world", min=1, help="LOG: processes.")]
Micro = Annotated[int, typer.Option("--micro-batch", min=1, help="LOG: samples per process and forward pass.")]
Accumulated = Annotated[int, typer.Option("--accumulation", min=1, help="LOG: micro-batches per optimizer step.")]
TrainingSet = Annotated[int | None, typer.Option("--samples", min=1, help="LOG: samples of the training set.")]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="LOG: epochs as its program counts them.")]


def report(
    things: Things,
    to: To = None,
    no_data: NoData = False,
    pseudonymise: Hidden = False,
    as_json: AsJson = False,
    iterations_are: Iterations = None,
    world: World = 1,
    micro_batch: Micro = 1,
    accumulation: Accumulated = 1,
    samples: TrainingSet = None,
    epochs: Epochs = None,
) -> None:
    """Report one training, or compare runs that are scored already.

    One run folder, whatever became of the run: the training report, in its folder report/. Several run folders, each
    with scores of its test set: their comparison, in a new folder below runs/comparison. A log that mmengine wrote
    (text, or vis_data/scalars.json): the training report, in a new folder below runs/training.
    """
    from vesselbench.report.training import LogFacts

    if len(things) > 1:
        report_comparison(things, to or RUNS, pseudonymise, as_json)
    elif things[0].is_file():
        if iterations_are is None:
            raise UserError(
                f"{things[0]} counts iterations, and does not say of what",
                "add --iterations-are micro-batches (most often) or --iterations-are optimizer-steps",
            )
        facts = LogFacts(iterations_are, world, micro_batch, accumulation, samples, epochs)
        report_one_log(things[0], facts, to or RUNS, pseudonymise, as_json)
    else:
        report_one_run(things[0], to, not no_data, pseudonymise, as_json)


def report_comparison(runs: list[Path], to: Path, pseudonymise: bool, as_json: bool) -> None:
    """Compare scored runs and write the report again."""
    from vesselbench.contest import Settings, report_runs
    from vesselbench.rundir import RunDir

    with session() as (catalogue, watch):
        opened = [RunDir.open(run) for run in runs]
        contest = report_runs(opened, Settings(to, pseudonymise=pseudonymise), catalogue, watch)
    show_contest(*contest, as_json)


def report_one_run(run: Path, to: Path | None, data: bool, pseudonymise: bool, as_json: bool) -> None:
    """The training report of a run."""
    from vesselbench.report.training import report_run
    from vesselbench.rundir import RunDir

    opened = RunDir.open(run)
    with session() as (catalogue, watch):
        history, page = report_run(opened, to, catalogue, watch, data=data, pseudonymised=pseudonymise)
    _show_training(history, page, as_json)


def report_one_log(log: Path, facts: LogFacts, to: Path, pseudonymise: bool, as_json: bool) -> None:
    """The training report of another program's log."""
    from vesselbench.report.training import report_log

    _show_training(*report_log(log, facts, to, pseudonymised=pseudonymise), as_json)


def _show_training(history: Any, page: Path, as_json: bool) -> None:
    from vesselbench.report.training.judgement import judge
    from vesselbench.report.training.render import summary

    findings = judge(history)
    if as_json:
        told = {"summary": summary(history), "work": asdict(history.work), "report": str(page)}
        emit({**told, "findings": [asdict(finding) for finding in findings]})
        return
    typer.echo(summary(history))
    for finding in findings:
        typer.echo(f"{finding.title}: {finding.text}")
    typer.echo(f"report: {page}")


def show_contest(comparison: Any, page: Path, as_json: bool) -> None:
    """The table, the verdict in a sentence, and where the report is."""
    from vesselbench.compare import verdict
    from vesselbench.comparing.likeness import budget_notes
    from vesselbench.report import terminal_table
    from vesselbench.rundir import read_json

    if as_json:  # as the report has it: pseudonymised when that is
        emit({**read_json(page.parent / "comparison.json"), "report": str(page)})
        return
    emit(terminal_table(comparison))
    typer.echo(verdict(comparison))
    for note in budget_notes(comparison.notes):
        typer.echo(note)
    if comparison.scorings is not None:
        typer.echo(comparison.scorings.told())
    typer.echo(f"report: {page}")


def end_at_gates(failed: list[str]) -> None:
    """Say on standard error which gates failed, and exit with 3 when one did."""
    from vesselbench.comparing.gates import GATE_FAILED

    for text in failed:
        typer.echo(text, err=True)
    if failed:
        raise typer.Exit(GATE_FAILED)
