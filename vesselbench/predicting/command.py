"""`vesselbench predict`: what can be refused is refused before the model is read, the rest before a folder is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vesselbench.errors import UserError
from vesselbench.export import find_free
from vesselbench.plugins import Catalogue
from vesselbench.predicting.inputs import Inputs, find_images
from vesselbench.predicting.predict import Outcome, predict_images, questions_of, refuse_hopeless, write_record
from vesselbench.predicting.sources import open_source
from vesselbench.rundir import fresh_path
from vesselbench.watch import Watch

SHOWN = 5


def predict_command(
    path: Path,
    images: Sequence[Path],
    prompt: str | None,
    to: Path | None,
    threshold: float | None,
    device: str,
    catalogue: Catalogue,
    watch: Watch,
) -> Outcome:
    """Predict `images` by the run or export in `path` into the new or empty folder `to`.

    Raises UserError as `find_images`, `open_source`, `questions_of`, `refuse_hopeless` and `predict_images` do, and
    when `to` is not free or cannot be made.
    """
    folder = None if to is None else find_free(to)
    inputs = find_images(images)
    _say(inputs, watch)
    source = open_source(path, catalogue)
    questions = questions_of(source, prompt)
    chosen = source.threshold if threshold is None else threshold
    predictor = source.load(device)
    refuse_hopeless(predictor, questions)
    folder = folder or fresh_path(Path("predictions"), source.recipe.name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {folder}: {error.strerror}", "name another with --to") from error
    watch.line(f"{source.recipe.model['name']} of {path}, on {predictor.device}, at threshold {chosen:g}")
    if source.reads_prompt:
        watch.line(f"prompt: {', '.join(repr(question.prompt) for question in questions)}")
    outcome = predict_images(predictor, inputs, questions, chosen, folder, watch)
    write_record(source, predictor, inputs, chosen, outcome)
    return outcome


def _say(inputs: Inputs, watch: Watch) -> None:
    """What is going to be done, and what is not."""
    watch.line(f"images to predict: {len(inputs.pictures)}")
    for names, what in (
        (inputs.others, "not an image by its name, left out"),
        (inputs.doubled, "named more than once, predicted once"),
    ):
        if names:
            listed = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
            watch.line(f"{what}: {len(names)} ({listed})")
