"""Annotation files as they stand, so that single outlines can be mended and all else stays as it was."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vesselbench.data.findings import Finding
from vesselbench.data.fixing.rules import Change, mend_part
from vesselbench.data.geometry import outline_key
from vesselbench.errors import UserError
from vesselbench.types import Size

_TOP = re.compile(r"(annotations|images|shapes)?\[(\d+)")


@dataclass
class RawShape:
    """One shape of a file. `parts`: flat outlines as they stand; `write` takes the mended ones, none: drop it."""

    file: str
    index: str
    owner: tuple[str, str]
    """(image file, phrase): what loses its whole mask when all its shapes are dropped."""
    size: Size | None
    """(H, W) that the coordinates count; None: unknown, and the shape stays as it is."""
    parts: list[list[float]]
    part_index: Callable[[int], str]
    write: Callable[[list[list[float]]], None]


def untouched(file: str, index: str, owner: tuple[str, str]) -> RawShape:
    """A shape that no rule is for, such as run lengths: it stays as it is, and its owner does not lose its mask."""
    return RawShape(file, index, owner, None, [], lambda _: index, lambda _: None)


class Documents(Protocol):
    """The annotation files of one data set, by their paths below its root."""

    files: dict[str, Any]

    def shapes(self) -> Iterator[RawShape]:
        """Every shape that is part of a mask: its outlines where they are lists of numbers, else `untouched`."""
        ...

    def mend_records(self) -> Iterator[Change]:
        """Sizes, ids and flags. Called after the outlines were mended."""
        ...

    def image_of(self, finding: Finding) -> str | None:
        """The image file that a finding in an annotation file is about, where that can be told."""
        ...

    def leave_out(self, images: set[str]) -> dict[str, str]:
        """Remove the records of these image files; the images that had to go with them, and why."""
        ...


@dataclass
class Bare:
    """A data set without annotation files: images and mask images."""

    files: dict[str, Any] = field(default_factory=dict)

    def shapes(self) -> Iterator[RawShape]:
        return iter(())

    def mend_records(self) -> Iterator[Change]:
        return iter(())

    def image_of(self, finding: Finding) -> str | None:  # noqa: ARG002 - no records, nothing to look in
        return None

    def leave_out(self, images: set[str]) -> dict[str, str]:  # noqa: ARG002 - what is not copied is left out
        return {}


def mend_shapes(documents: Documents) -> tuple[list[Change], dict[str, str]]:
    """Apply the rules to every outline: the changes, and for each image that lost a whole mask the reason."""
    changes: list[Change] = []
    before: dict[tuple[str, str], int] = {}
    after: dict[tuple[str, str], int] = {}
    seen: dict[tuple[str, str], set[object]] = {}
    for shape in list(documents.shapes()):
        before[shape.owner] = before.get(shape.owner, 0) + 1
        if shape.size is None:
            after[shape.owner] = after.get(shape.owner, 0) + 1
            continue
        kept: list[list[float]] = []
        touched = False
        for number, part in enumerate(shape.parts):
            mended = mend_part(part, shape.size)
            place = (shape.file, shape.part_index(number))
            changes += [Change(code, *place, plain(part), mended.numbers) for code in mended.codes]
            numbers = mended.numbers
            if numbers is not None and len(numbers) % 2 == 0:
                key = (shape.size, outline_key(numbers))
                if key in seen.setdefault(shape.owner, set()):
                    changes.append(Change("duplicate-polygon", *place, plain(part), None))
                    numbers = None
                seen[shape.owner].add(key)
            touched = touched or numbers is None or bool(mended.codes)
            kept += [] if numbers is None else [numbers]
        after[shape.owner] = after.get(shape.owner, 0) + bool(kept)
        if touched:
            shape.write(kept)
    lost = [owner for owner in before if not after[owner]]
    return changes, {image: f"no outline of {phrase!r} is left: it would pass for a negative" for image, phrase in lost}


def read_files(root: Path, paths: list[Path]) -> dict[str, Any]:
    """The contents by path below `root`; UserError for a file outside, or one that is no JSON."""
    contents: dict[str, Any] = {}
    for path in paths:
        if not path.resolve().is_relative_to(root.resolve()):
            raise UserError(f"{path} lies outside {root}", "copy it into the data set before mending it")
        try:
            contents[path.relative_to(root).as_posix()] = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UserError(f"{path} cannot be mended: {reason}", "export the annotations again") from None
    return contents


def numbers_of(value: Any) -> list[float] | None:
    """A flat list of numbers, each within the range of a float; None for anything else."""
    if not isinstance(value, list) or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in value):
        return None
    try:
        return [float(number) for number in value]
    except OverflowError:
        return None


def positive(value: Any) -> int | None:
    """A positive whole number (512.0 counts), else None."""
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return whole if isinstance(whole, int) and not isinstance(whole, bool) and whole > 0 else None


def top_item(index: str) -> tuple[str, int] | None:
    """("annotations", 12) of ``annotations[12].segmentation``; ("", 5) of ``[5].mask[0]``; None without a number."""
    match = _TOP.match(index)
    return (match[1] or "", int(match[2])) if match else None


def plain(part: list[float]) -> list[Any]:
    """The numbers as strict JSON can hold them: what is not finite as text."""
    return [number if math.isfinite(number) else str(number) for number in part]
