"""Which images a prediction is asked for, and what each of them is called in the output folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vesselbench.data.images import SUFFIXES
from vesselbench.errors import UserError
from vesselbench.rundir import file_name

OUTPUT_SUFFIXES = (".png", ".jpg")
LONGEST = 200
"""Bytes of one part of an output's path; a longer one gets a hash."""


@dataclass(frozen=True)
class Picture:
    """An image file, its `name` (what the user sees: a path below what was named) and the `stem` of its outputs.

    `refused`: why the file must not be opened, else empty.
    """

    path: Path
    name: str
    stem: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Inputs:
    """The images in the order of the command line and, within folders, by name; `others` are files in folders that
    are no images by their names; `doubled` are images named more than once, which are predicted once."""

    pictures: tuple[Picture, ...]
    others: tuple[str, ...]
    doubled: tuple[str, ...]


def find_images(arguments: Sequence[Path]) -> Inputs:
    """The images that files and folders stand for; folders are searched with everything below them.

    A name is the path below the folder that was named, or the file's name; where two names are one (on a system that
    ignores case, too), all names are the paths below what the arguments have in common. Outputs are called like their
    image without its suffix, with it where two images would share a stem.
    Raises UserError for an argument that is not there and for arguments without an image.
    """
    missing = [str(path) for path in arguments if not path.exists()]
    if missing:
        raise UserError(f"{_listed(missing)} does not exist", "check the path (it is relative to where you start)")
    found: dict[Path, Picture] = {}
    others: list[str] = []
    doubled: list[str] = []
    for argument in arguments:
        for picture in _walk(argument, others) if argument.is_dir() else [Picture(argument, argument.name)]:
            place = picture.path.resolve()
            if place in found:
                doubled.append(str(picture.path))
            else:
                found[place] = picture
    if not found:
        raise UserError(
            f"no image in {_listed([str(path) for path in arguments])}",
            f"images are files called {', '.join(sorted(SUFFIXES))}",
        )
    return Inputs(tuple(_told_apart(list(found.values()))), tuple(others), tuple(doubled))


def _walk(folder: Path, others: list[str]) -> Iterable[Picture]:
    """The images below a folder, sorted; a link that leads out of it is refused, a linked folder is not entered."""
    real = folder.resolve()
    for where, folders, files in os.walk(folder):
        folders.sort()
        at = Path(where)
        others.extend(str(at / name) for name in folders if (at / name).is_symlink())
        for name in sorted(files):
            path = at / name
            if path.suffix.lower() not in SUFFIXES:
                others.append(str(path))
                continue
            strays = not path.resolve().is_relative_to(real)
            refused = f"it is a link out of {folder}, to {path.resolve()}" if strays else ""
            yield Picture(path, path.relative_to(folder).as_posix(), refused=refused)


def _told_apart(pictures: Sequence[Picture]) -> list[Picture]:
    """Names and stems that no two pictures share."""
    names = [picture.name for picture in pictures]
    if _clash(names):
        common = Path(os.path.commonpath([os.path.abspath(picture.path.parent) for picture in pictures]))
        names = [Path(os.path.abspath(picture.path)).relative_to(common).as_posix() for picture in pictures]
    return [
        Picture(picture.path, name, stem, picture.refused)
        for picture, name, stem in zip(pictures, names, _stems(names), strict=True)
    ]


def _stems(names: Sequence[str]) -> list[str]:
    """Names without suffix; with it where two would be alike; numbered where that is a stem or a folder as well."""
    names = ["/".join(_short(part) for part in name.split("/")) for name in names]
    stems = [str(PurePosixPath(name).with_suffix("")) for name in names]
    count = Counter(stem.casefold() for stem in stems)
    folders = {str(parent).casefold() for name in names for parent in PurePosixPath(name).parents}
    taken: set[str] = set()
    chosen = []
    for stem, name in zip(stems, names, strict=True):
        wanted = stem = stem if count[stem.casefold()] == 1 else name
        number = 1
        while stem.casefold() in taken or any(f"{stem}{suffix}".casefold() in folders for suffix in OUTPUT_SUFFIXES):
            number += 1
            stem = f"{wanted}-{number}"
        taken.add(stem.casefold())
        chosen.append(stem)
    return chosen


def _short(part: str) -> str:
    """A part of a path that leaves room for a suffix in every file system."""
    return part if len(part.encode()) <= LONGEST else f"{file_name(part)}{PurePosixPath(part).suffix[:8]}"


def _clash(names: Sequence[str]) -> bool:
    return len({name.casefold() for name in names}) < len(names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
