"""A comparison without names: image ids and patients become short hashes that nobody can turn back."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from vesselbench.compare import Comparison
from vesselbench.contender import Contender
from vesselbench.types import ScoreRow, Split

DIGITS = 8


@dataclass(frozen=True)
class Shown:
    """The comparison to print, and for each id in it the id of the sample."""

    comparison: Comparison
    originals: dict[str, str]


def as_it_is(comparison: Comparison) -> Shown:
    """The comparison under its own names."""
    return Shown(comparison, {image: image for image in comparison.images})


def pseudonymise(comparison: Comparison) -> Shown:
    """The comparison with other names; the salt is random and kept nowhere, so the names differ each time.

    Replaced are image ids and groups wherever a report prints them; left out are the data settings (their folder and
    their lists of patients) and the command line. Letters burnt into the pixels of an image stay: look at the
    pictures before you pass them on.
    """
    salt = secrets.token_bytes(16)
    every = [sample for run in comparison.runs for ids in run.split.sets.values() for sample in ids]
    images = _renamed("image", [*comparison.images, *every], salt)
    groups = _renamed("group", comparison.groups, salt)
    shown = replace(
        comparison,
        images=tuple(images[image] for image in comparison.images),
        groups=tuple(groups[group] for group in comparison.groups),
        runs=tuple(_without_names(run, comparison, images, groups) for run in comparison.runs),
        observer2=None if comparison.observer2 is None else _rows(comparison.observer2, comparison, images, groups),
    )
    return Shown(shown, {images[image]: image for image in comparison.images})


def _renamed(kind: str, names: Iterable[str], salt: bytes) -> dict[str, str]:
    unique = list(dict.fromkeys(names))
    digits = DIGITS
    while True:
        renamed = {name: f"{kind}-{hashlib.blake2b(name.encode(), key=salt).hexdigest()[:digits]}" for name in unique}
        if len(set(renamed.values())) == len(unique):
            return renamed
        digits += 4


def _without_names(run: Contender, comparison: Comparison, images: dict[str, str], groups: dict[str, str]) -> Contender:
    sets = {name: tuple(images[sample] for sample in ids) for name, ids in run.split.sets.items()}
    config = {key: value for key, value in run.config.items() if key != "data"}
    return replace(
        run,
        split=Split("withheld", run.split.seed, sets, run.split.fingerprint),
        config=config,
        record={**run.record, "command": None},
        scores=replace(run.scores, rows=_rows(run.scores.rows, comparison, images, groups)),
        observer2=None if run.observer2 is None else _rows(run.observer2, comparison, images, groups),
    )


def _rows(
    rows: Sequence[ScoreRow], comparison: Comparison, images: dict[str, str], groups: dict[str, str]
) -> tuple[ScoreRow, ...]:
    of_image = dict(zip(comparison.images, comparison.groups, strict=True))
    return tuple(replace(row, id=images[row.id], group=groups[of_image[row.id]], reason=None) for row in rows)
