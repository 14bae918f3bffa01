"""The commands that come after a training: predictions of new images, pages over many runs, bundles of evidence."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vesselbench.commands.shared import RUNS, AsJson, Hidden, Runs, emit, session
from vesselbench.errors import UserError

results_app = typer.Typer()
Source = Annotated[Path, typer.Argument(metavar="RUN", help="A finished run's folder, or an exported one.")]
Images = Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files and folders of them.")]
Prompt = Annotated[str | None, typer.Option("--prompt", help="What to look for; for models that read a phrase.")]
To = Annotated[Path | None, typer.Option("--to", help="A new folder; default: predictions/NAME/<time>-<4 hex>.")]
Threshold = Annotated[float | None, typer.Option("--threshold", min=0, max=1, help="Instead of the model's own.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
Scored = Annotated[
    list[Path], typer.Argument(metavar="COMPARISON|RUNS...", help="A comparison's folder, or run folders with scores.")
]
Zip = Annotated[Path, typer.Option("--to", help="The zip file to write; it must not exist.")]
WithImages = Annotated[bool, typer.Option("--with-images", help="Put the pixels of the images in as well.")]
Several = Annotated[list[Path] | None, typer.Argument(metavar="[RUNS]...", help="Run folders; default: all.")]
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A zip file that `vesselbench bundle` has written.")]


@results_app.command()
def predict(
    run: Source,
    images: Images,
    prompt: Prompt = None,
    to: To = None,
    threshold: Threshold = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Draw the vessels of images: masks, probabilities, overlays and a table; exit 1 when an image failed."""
    from vesselbench.predicting.command import predict_command

    with session() as (catalogue, watch):
        outcome = predict_command(run, images, prompt, to, threshold, device, catalogue, watch)
    emit([*outcome.rows]) if as_json else typer.echo(outcome.summary())
    if outcome.failed:
        raise typer.Exit(1)


@results_app.command()
def bundle(runs: Scored, to: Zip, with_images: WithImages = False, pseudonymise: Hidden = False) -> None:
    """Put what is needed to check a comparison into one zip file: masks, references, scores, recipes, hashes."""
    from vesselbench.evidence.bundle import Wish, write_bundle

    with session() as (catalogue, watch):
        written = write_bundle(runs, to, Wish(with_images, pseudonymise), catalogue, watch)
    typer.echo(f"{written}: {written.stat().st_size:,} bytes; check it with `vesselbench verify {written}`")


@results_app.command()
def verify(bundle: Bundle, as_json: AsJson = False) -> None:
    """Compute a bundle's numbers again from its masks, say what is taken as stated; exit 1 when anything differs."""
    from vesselbench.evidence.verify import verify as verify_bundle

    with session() as (catalogue, watch):
        found = verify_bundle(bundle, catalogue, watch)
    emit(asdict(found)) if as_json else typer.echo("\n".join(found.lines()))
    if not found.holds:
        raise typer.Exit(1)


@results_app.command()
def leaderboard(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUNS]...", help="Run folders; default: all.")
    ] = None,
    runs: Runs = RUNS,
    set_name: Annotated[str, typer.Option("--set", help="train, val or test.")] = "test",
    pseudonymise: Hidden = False,
) -> None:
    """One page over many scored runs: a table for each set of runs that may be compared."""
    from vesselbench.report.leaderboard import hidden, make_board, render_board
    from vesselbench.rundir import RunDir, check_set_name, fresh_path, runs_of

    chosen = check_set_name(set_name)
    found = [RunDir.open(path) for path in folders] if folders else list(runs_of(runs))
    if not found:
        raise UserError(f"no run below {runs}", "name run folders, or give the folder of the runs with --runs")
    board = make_board(found, chosen)
    board = hidden(board) if pseudonymise else board
    for left in board.left_out:
        typer.echo(f"left out: {left.run}: {left.reason}", err=True)
    typer.echo(f"leaderboard: {render_board(board, fresh_path(runs, 'leaderboard'))}")
