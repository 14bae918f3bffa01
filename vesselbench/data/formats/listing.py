"""Image files of a folder, or of a pattern with ``{stem}``, by stem."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from vesselbench.data.findings import Fault, Place, each
from vesselbench.data.images import SUFFIXES
from vesselbench.errors import UserError

STEM = "{stem}"
_SHOWN = 5


def files_by_stem(root: Path, place: str, key: str, suffixes: Collection[str] = SUFFIXES) -> dict[str, Path]:
    """Stem -> file, sorted by stem.

    `place` is a folder below `root`, listed with its sub-folders (the stem is then the relative path without
    extension, and only names that end in `suffixes` count), or a pattern such as ``masks/{stem}_manual.png`` (the stem
    is what stands in for ``{stem}``, within one folder). Hidden files do not count.
    `key` is the option that messages name. Raises UserError without the folder, Fault for two files of one stem.
    """
    found: dict[str, Path] = {}
    for stem, path in _by_pattern(root, place) if STEM in place else _by_folder(root, place, key, suffixes):
        with each(place_of(path, root)):
            if stem in found:
                reason = f"{found[stem]} and {path} have the same stem {stem!r}"
                raise Fault("name-collision", place_of(path, root), reason, "rename or remove one of them")
            found[stem] = path
    return dict(sorted(found.items()))


def place_of(path: Path, root: Path) -> Place:
    """A file as the user knows it: below the data set's folder where it is there."""
    return Place(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix())


def some(names: Iterable[str]) -> str:
    """Up to 5 names and how many more there are."""
    listed = sorted(names)
    return ", ".join(listed[:_SHOWN]) + (f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else "")


def _by_folder(root: Path, place: str, key: str, suffixes: Collection[str]) -> Iterator[tuple[str, Path]]:
    folder = root / place
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", f"check data.root and {key}")
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix.lower() in suffixes and not hidden and path.is_file():
            yield relative.with_suffix("").as_posix(), path


def _by_pattern(root: Path, place: str) -> Iterator[tuple[str, Path]]:
    pieces = place.split(STEM)
    glob = "*".join(re.sub(r"([*?[])", r"[\1]", piece) for piece in pieces)
    first, rest = re.escape(pieces[0]), [re.escape(piece) for piece in pieces[1:]]
    regex = re.compile(f"{first}(?P<stem>[^/]+?)" + "(?P=stem)".join(rest))
    for path in sorted(root.glob(glob)):
        match = regex.fullmatch(path.relative_to(root).as_posix())
        if match and path.is_file() and not path.name.startswith("."):
            yield match["stem"], path
