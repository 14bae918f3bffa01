"""Pictures of chosen images: the image, its reference and every run's prediction, read from the data and the runs."""

from __future__ import annotations

from dataclasses import dataclass

from vesselbench.compare import Comparison
from vesselbench.config import DataConfig
from vesselbench.contender import Contender
from vesselbench.data.fingerprint import fingerprint
from vesselbench.data.masks import decode, mask_sha256
from vesselbench.data.read import load_example, read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.recipes import validate_options
from vesselbench.report import words
from vesselbench.report.choice import Choice, Choices
from vesselbench.report.overlay import count_pixels, counted_reference, encode, plain_tile, reference_tile, verdict_tile
from vesselbench.scored import ScoredRun
from vesselbench.types import BoolMask, Example, MaskFile, Sample, SetName


@dataclass(frozen=True)
class Tile:
    """One picture: its file name below panels/, its PNG, and what stands under and for it."""

    file: str
    png: bytes
    title: str
    caption: str
    alt: str

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, from the PNG's header (ISO/IEC 15948, chunk IHDR)."""
        return int.from_bytes(self.png[16:20], "big"), int.from_bytes(self.png[20:24], "big")


@dataclass(frozen=True)
class Panel:
    """One image in all its pictures."""

    title: str
    image: str
    group: str
    caption: str
    tiles: tuple[Tile, ...]
    has_field: bool


def read_data(comparison: Comparison, catalogue: Catalogue) -> dict[str, Sample]:
    """The compared samples by id, read as the first run's recipe says.

    Raises UserError when the data are not there or no longer those that the runs were trained and scored on.
    """
    first = comparison.runs[0]
    if "data" not in first.config:
        raise UserError(
            f"{first.run.config} has no `data`", "a run's config.yaml holds the complete recipe: put it back"
        )
    config = validate_options(DataConfig, first.config["data"], "data.")
    samples = read_samples(config, catalogue)
    found = fingerprint(samples)
    if found != first.split.fingerprint:
        raise UserError(
            f"the data have changed since the runs: fingerprint {found[:12]}, recorded {first.split.fingerprint[:12]}",
            "put the original images and masks back, or train and evaluate again",
        )
    return {sample.id: sample for sample in samples}


def make_panels(shown: Comparison, original: Comparison, choices: Choices, samples: dict[str, Sample]) -> list[Panel]:
    """A panel per chosen image; `original` carries the true ids under which predictions are stored."""
    panels = []
    for choice in choices.chosen:
        example = load_example(samples[original.images[choice.index]])
        panels.append(_panel(shown, original, choice, example))
    return panels


def _panel(shown: Comparison, original: Comparison, choice: Choice, example: Example) -> Panel:
    image, stem = shown.images[choice.index], choice.title.split()[0]
    size = f"{example.size[1]} × {example.size[0]} pixels"
    vessels = int(counted_reference(example).sum())
    tiles = [
        Tile(f"{stem}-image.png", encode(plain_tile(example)), "image", size, f"{image} as it is"),
        Tile(
            f"{stem}-reference.png",
            encode(reference_tile(example)),
            "reference",
            f"{vessels:,} vessel pixels",
            f"reference of {image}: {vessels} vessel pixels",
        ),
    ]
    for number, (run, source) in enumerate(zip(shown.runs, original.runs, strict=True), 1):
        predicted = read_prediction(source.first, original.set_name, choice.index, example)
        tiles.append(_run_tile(f"{stem}-run{number}.png", run, shown, choice, example, predicted))
    mean = f"mean {shown.primary} {words.score(choice.mean)}"
    return Panel(choice.title, image, shown.groups[choice.index], mean, tuple(tiles), example.fov is not None)


def _run_tile(
    file: str, run: Contender, shown: Comparison, choice: Choice, example: Example, predicted: BoolMask
) -> Tile:
    hit, false, missed = count_pixels(example, predicted)
    value = words.or_absent(run.values(shown.primary)[choice.index], words.score)
    caption = f"{shown.primary} {value} · {hit:,} found, {false:,} false, {missed:,} missed"
    alt = (
        f"{run.label} on {shown.images[choice.index]}: {shown.primary} {value}; {hit} true positive, "
        f"{false} false positive and {missed} false negative pixels"
    )
    return Tile(file, encode(verdict_tile(example, predicted)), run.label, caption, alt)


def read_prediction(run: ScoredRun, set_name: SetName, index: int, example: Example) -> BoolMask:
    """The stored mask of one prediction, bool [H,W].

    Raises UserError when the file is missing, no image, of another size, or not the mask that was scored.
    """
    row = run.scores.rows[index]
    path = run.run.prediction_file(set_name, row.id)
    again = f"vesselbench evaluate {run.run.path} --set {set_name}"
    if not path.is_file():
        raise UserError(f"the prediction {path} does not exist", again)
    mask = decode(MaskFile(path), example.size, str(path))
    if mask_sha256(mask) != row.mask_sha256:
        raise UserError(f"{path} is not the mask that was scored (its sha256 differs)", again)
    return mask
