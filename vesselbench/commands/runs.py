"""The commands ``vesselbench runs ...``; everything heavy is imported inside a command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vesselbench.commands.shared import RUNS, AsJson, Runs, emit
from vesselbench.errors import UserError

runs_app = typer.Typer(help="List the runs, and free space.", invoke_without_command=True)
State = Annotated[bool, typer.Option("--state", help="Optimizer state of finished runs; all else of them stays.")]
OldCheckpoints = Annotated[bool, typer.Option("--checkpoints", help="Checkpoints of finished runs but the best one.")]
Damaged = Annotated[bool, typer.Option("--damaged", help="Checkpoints set aside as damaged, and half-written ones.")]
FailedDays = Annotated[
    float | None, typer.Option("--failed-days", min=0, help="Whole failed or interrupted runs as old as that.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@runs_app.callback()
def runs(context: typer.Context, root: Runs = RUNS, as_json: AsJson = False) -> None:
    """List runs: status, steps done, best score on the validation set, disk use, and whether they can be resumed."""
    from vesselbench.inventory import list_runs
    from vesselbench.terminal.runs import runs_table

    context.obj = root
    if context.invoked_subcommand is None:
        found = list_runs(root)
        emit([run.as_json() for run in found] if as_json else runs_table(found, root))


@runs_app.command("prune")
def prune(
    context: typer.Context,
    state: State = False,
    checkpoints: OldCheckpoints = False,
    damaged: Damaged = False,
    failed_days: FailedDays = None,
    yes: Yes = False,
) -> None:
    """Free space by rules: list what would go, with sizes, ask, and remove it. Running runs are left alone."""
    from vesselbench.inventory import Rules, removals
    from vesselbench.terminal.runs import removals_table

    rules = Rules(state, checkpoints, damaged, failed_days)
    if rules == Rules():
        raise UserError("no rule says what may go", "--state, --checkpoints, --damaged or --failed-days N")
    found, left = removals(context.obj, rules)
    for text in left:
        typer.echo(text, err=True)
    emit(removals_table(found))
    if not found or not _agreed(yes):
        return
    for one in found:
        one.remove()
    typer.echo(f"freed {sum(one.bytes for one in found):,} bytes")


def _agreed(yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UserError("nothing was removed: there is nobody to ask", "add --yes")
    return typer.confirm("Remove these?")
