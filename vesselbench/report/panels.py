"""Pictures of chosen images: the image, its reference and every run's prediction, read from the data and the runs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from vesselbench.compare import Comparison
from vesselbench.comparing.contender import Contender
from vesselbench.comparing.scored import ScoredRun
from vesselbench.config import DataConfig
from vesselbench.data.fingerprint import fingerprint
from vesselbench.data.masks import decode, mask_sha256
from vesselbench.data.read import load_example, read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.recipes import validate_options
from vesselbench.report import words
from vesselbench.report.choice import MOST, Choice, Choices
from vesselbench.report.crop import find_window
from vesselbench.report.gallery import Mistakes, count_mistakes
from vesselbench.report.overlay import (
    FALSE,
    MISSED,
    Mark,
    counted_reference,
    encode,
    encode_photograph,
    plain_tile,
    reference_tile,
    verdict_tile,
)
from vesselbench.types import BoolMask, Example, MaskFile, Sample, SetName

MOST_MARKS = 12
"""Marks of one kind in one picture, the largest faults first; the caption counts all."""
MOST_TILES = 120
"""Pictures of a page, about: fewer images are shown when there are many runs, so that it stays small."""


@dataclass(frozen=True)
class Tile:
    """One picture: its file name below panels/, its PNG or JPEG, and what stands under and for it."""

    file: str
    picture: bytes
    title: str
    caption: str
    alt: str

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        with Image.open(io.BytesIO(self.picture)) as opened:
            return opened.size


@dataclass(frozen=True)
class Panel:
    """One image in all its pictures; `detail` are those of the part in which the runs go wrong most, of a large one.

    `mistakes`: of every run, on the whole image.
    """

    title: str
    image: str
    group: str
    caption: str
    tiles: tuple[Tile, ...]
    detail: tuple[Tile, ...]
    has_field: bool
    mistakes: tuple[Mistakes, ...]


def most_images(runs: int) -> int:
    """How many images a page of so many runs shows."""
    return max(3, min(MOST, MOST_TILES // (2 * (2 + runs))))


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
    for number, choice in enumerate(choices.chosen, 1):
        example = load_example(samples[original.images[choice.index]])
        predicted = [read_prediction(run.first, original.set_name, choice.index, example) for run in original.runs]
        panels.append(_panel(shown, choice, example, predicted, f"{number:02d}"))
    return panels


def _panel(shown: Comparison, choice: Choice, example: Example, predicted: Sequence[BoolMask], stem: str) -> Panel:
    image = shown.images[choice.index]
    size = f"{example.size[1]} × {example.size[0]} pixels"
    mistakes = [count_mistakes(example, mask) for mask in predicted]
    whole = _tiles(shown, choice, example, predicted, mistakes, stem, size)
    window = find_window([_wrong(example, mask) for mask in predicted], example.size)
    detail: list[Tile] = []
    if window is not None:
        part = replace(
            example,
            image=example.image[window.slices],
            mask=None if example.mask is None else example.mask[window.slices],
            fov=None if example.fov is None else example.fov[window.slices],
        )
        where = f"rows {window.top}–{window.bottom}, columns {window.left}–{window.right}"
        seen = [mask[window.slices] for mask in predicted]
        within = [count_mistakes(part, mask) for mask in seen]
        detail = _tiles(shown, choice, part, seen, within, f"{stem}-detail", where)
    caption = f"mean {shown.primary} {words.score(choice.mean)}"
    if len(shown.runs) > 1:
        caption = f"the runs differ by {words.score(choice.apart)}, {caption}"
    return Panel(
        title=choice.title,
        image=image,
        group=shown.groups[choice.index],
        caption=caption,
        tiles=tuple(whole),
        detail=tuple(detail),
        has_field=example.fov is not None,
        mistakes=tuple(mistakes),
    )


def _tiles(
    shown: Comparison,
    choice: Choice,
    example: Example,
    predicted: Sequence[BoolMask],
    mistakes: Sequence[Mistakes],
    stem: str,
    size: str,
) -> list[Tile]:
    """The image, its reference and every run, of the whole or of a part; faults are those of what is shown."""
    image, vessels = shown.images[choice.index], int(counted_reference(example).sum())
    tiles = [
        Tile(f"{stem}-image.jpg", encode_photograph(plain_tile(example)), "image", size, f"{image} as it is, {size}"),
        Tile(
            f"{stem}-reference.png",
            encode(reference_tile(example)),
            "reference",
            f"{vessels:,} vessel pixels",
            f"reference of {image}: {vessels} vessel pixels",
        ),
    ]
    for number, (run, mask, found) in enumerate(zip(shown.runs, predicted, mistakes, strict=True), 1):
        caption, alt = _told(run, shown, choice, found)
        picture = encode(verdict_tile(example, mask), _marks(found))
        tiles.append(Tile(f"{stem}-run{number}.png", picture, run.label, caption, alt))
    return tiles


def _wrong(example: Example, predicted: BoolMask) -> BoolMask:
    """What counts and is wrong."""
    wrong: BoolMask = predicted ^ example.mask if example.mask is not None else predicted
    return wrong if example.fov is None else wrong & example.fov


def _marks(found: Mistakes) -> list[Mark]:
    missed = [Mark(fault.place, "ring", MISSED) for fault in found.faults.missed[:MOST_MARKS]]
    return missed + [Mark(fault.place, "square", FALSE) for fault in found.faults.bridges[:MOST_MARKS]]


def _told(run: Contender, shown: Comparison, choice: Choice, found: Mistakes) -> tuple[str, str]:
    """What stands under and for the picture of a run. Of several seeds it shows the first one, with its own value."""
    value = words.or_absent(run.first.values(shown.primary)[choice.index], words.score)
    seed = f" (seed {run.first.seed}, one of {len(run.seeds)})" if len(run.seeds) > 1 else ""
    hit, false, missed = found.true_positive, found.false_positive, found.false_negative
    caption = (
        f"{shown.primary} {value}{seed} · {hit:,} found, {false:,} false, {missed:,} missed · {found.faults.said()}"
    )
    alt = (
        f"{run.label} on {shown.images[choice.index]}: {shown.primary} {value}{seed}; {hit} true positive, "
        f"{false} false positive and {missed} false negative pixels; {found.faults.said()}"
    )
    return caption, alt


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
