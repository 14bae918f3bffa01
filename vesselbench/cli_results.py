"""The commands that come after a training: predictions of new images, pages over many runs, bundles of evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesselbench.commands import AsJson, emit, session

results_app = typer.Typer()
Source = Annotated[Path, typer.Argument(metavar="RUN", help="A finished run's folder, or an exported one.")]
Images = Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Image files and folders of them.")]
Prompt = Annotated[str | None, typer.Option("--prompt", help="What to look for; for models that read a phrase.")]
To = Annotated[Path | None, typer.Option("--to", help="A new folder; default: predictions/NAME/<time>-<4 hex>.")]
Threshold = Annotated[float | None, typer.Option("--threshold", min=0, max=1, help="Instead of the model's own.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]


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
