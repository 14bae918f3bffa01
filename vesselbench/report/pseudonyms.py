"""A comparison without names: image ids, patients and files become short hashes that nobody can turn back."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from vesselbench.comparing.comparison import Comparison, Scorings
from vesselbench.comparing.contender import Contender
from vesselbench.comparing.scored import ScoredRun
from vesselbench.data.converting.names import DIGITS, hashed, keyed
from vesselbench.types import ScoreRow, Split

FILE_KEYS = frozenset({"weights", "tokenizer"})
"""Model settings that hold paths even where a value has no separator in it."""


@dataclass(frozen=True)
class Shown:
    """The comparison to print, and the true one; the images of both stand in the same order."""

    comparison: Comparison
    original: Comparison


@dataclass(frozen=True)
class Names:
    """True name -> pseudonym, of image ids and of groups; `salt` makes those of files."""

    images: Mapping[str, str]
    groups: Mapping[str, str]
    salt: bytes

    def file(self, path: str) -> str:
        """A pseudonym of the last component of a path; the folders are left out."""
        last = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
        return f"file-{hashed(last, self.salt)[:DIGITS]}"


def shown_comparison(comparison: Comparison, pseudonymised: bool) -> Comparison:
    """The comparison as it may be printed: as it is, or with other names at each call (see `pseudonymise`)."""
    return (pseudonymise(comparison) if pseudonymised else as_it_is(comparison)).comparison


def as_it_is(comparison: Comparison) -> Shown:
    """The comparison under its own names."""
    return Shown(comparison, comparison)


def pseudonymise(comparison: Comparison) -> Shown:
    """The comparison with other names; the salt is random and kept nowhere, so the names differ each time.

    Replaced are image ids, groups and the names of weight files wherever a report prints them; left out are the data
    settings (their folder and their lists of patients), `train.deepspeed`, the command line and the folders of files
    in the model's settings. The images stand in the order of their new names. Letters burnt into the pixels of an
    image stay: look at the pictures before you pass them on.
    """
    salt = secrets.token_bytes(16)
    every = [sample for run in comparison.runs for ids in run.first.split.sets.values() for sample in ids]
    images = keyed("image", [*comparison.images, *every], salt)
    names = Names(images, keyed("group", comparison.groups, salt), salt)
    original = _ordered(comparison, sorted(comparison.images, key=images.__getitem__))
    shown = replace(
        original,
        images=tuple(images[image] for image in original.images),
        groups=tuple(names.groups[group] for group in original.groups),
        runs=tuple(_each_seed(run, partial(_without_names, comparison=original, names=names)) for run in original.runs),
        observer2=None if original.observer2 is None else _rows(original.observer2, original, names),
        scorings=_without_other_runs(original),
        notes=tuple(_without_files(note, original.runs, names) for note in original.notes),
    )
    return Shown(shown, original)


def _ordered(comparison: Comparison, images: Sequence[str]) -> Comparison:
    """The same comparison with its images, and all that stands in their order, in another order."""
    group_of = dict(zip(comparison.images, comparison.groups, strict=True))
    place = {image: number for number, image in enumerate(images)}

    def in_order(rows: Iterable[ScoreRow]) -> tuple[ScoreRow, ...]:
        return tuple(sorted(rows, key=lambda row: place[row.id]))

    def ordered(run: ScoredRun) -> ScoredRun:
        observer2 = None if run.observer2 is None else in_order(run.observer2)
        return replace(run, scores=replace(run.scores, rows=in_order(run.scores.rows)), observer2=observer2)

    return replace(
        comparison,
        images=tuple(images),
        groups=tuple(group_of[image] for image in images),
        runs=tuple(_each_seed(run, ordered) for run in comparison.runs),
        observer2=None if comparison.observer2 is None else in_order(comparison.observer2),
    )


def _each_seed(contender: Contender, change: Callable[[ScoredRun], ScoredRun]) -> Contender:
    return replace(contender, seeds=tuple(change(seed) for seed in contender.seeds))


def _without_other_runs(comparison: Comparison) -> Scorings | None:
    """The history of the test set without the names of runs that are not compared: a recipe can name a person."""
    held = comparison.scorings
    if held is None:
        return None
    shown = {seed.where for run in comparison.runs for seed in run.seeds}
    entries = [
        entry
        if entry.scoring.run in shown
        else replace(entry, scoring=replace(entry.scoring, recipe="withheld", run="withheld"))
        for entry in held.entries
    ]
    return replace(held, entries=tuple(entries))


def _without_names(run: ScoredRun, comparison: Comparison, names: Names) -> ScoredRun:
    sets = {name: tuple(sorted(names.images[sample] for sample in ids)) for name, ids in run.split.sets.items()}
    files = {names.file(str(path)): digest for path, digest in (run.record.get("base_weights") or {}).items()}
    return replace(
        run,
        split=Split("withheld", run.split.seed, sets, run.split.fingerprint),
        config=settings_without_names(run.config, names),
        record={**run.record, "command": None, "base_weights": files},
        scores=replace(run.scores, rows=_rows(run.scores.rows, comparison, names)),
        observer2=None if run.observer2 is None else _rows(run.observer2, comparison, names),
    )


def settings_without_names(config: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The recipe without `data` and `train.deepspeed`, and without folders in the model's settings."""
    kept = {key: value for key, value in config.items() if key != "data"}
    if isinstance(train := kept.get("train"), Mapping):
        kept["train"] = {key: value for key, value in train.items() if key != "deepspeed"}
    if "model" in kept:
        kept["model"] = _without_paths(kept["model"], names, is_file=False)
    return kept


def _without_paths(value: Any, names: Names, is_file: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_paths(held, names, is_file or key in FILE_KEYS) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(held, names, is_file) for held in value]
    if isinstance(value, str) and (is_file or "/" in value or "\\" in value):
        return names.file(value)
    return value


def _without_files(note: str, runs: Sequence[Contender], names: Names) -> str:
    """A note names the weights that a run started from by the last component of their paths."""
    seeds = [seed for run in runs for seed in run.seeds]
    paths = {str(path) for seed in seeds for path in seed.record.get("base_weights") or {}}
    for last in sorted({re.split(r"[/\\]", path)[-1] for path in paths}, key=len, reverse=True):
        note = note.replace(last, names.file(last))
    return note


def _rows(rows: Sequence[ScoreRow], comparison: Comparison, names: Names) -> tuple[ScoreRow, ...]:
    of_image = dict(zip(comparison.images, comparison.groups, strict=True))
    return tuple(
        replace(row, id=names.images[row.id], group=names.groups[of_image[row.id]], reasons={}) for row in rows
    )
