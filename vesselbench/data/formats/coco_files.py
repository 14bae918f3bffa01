"""Which image file a COCO record means: every exporter writes `file_name` in its own way."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from vesselbench.data.findings import Fault, Place
from vesselbench.data.formats.fields import shown, stem_of

_DRIVE_OR_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/*")


@dataclass(frozen=True)
class ImageFolders:
    """Where the images of one annotation file may lie: the folder that is named, or the customary ones."""

    folders: tuple[Path, ...]

    @classmethod
    def beside(cls, annotations: Path, root: Path, named: str | None) -> ImageFolders:
        """`named` below `root`; without it the file's own folder, `root` and the folders ``images`` of both.

        CVAT writes ``annotations/instances_SUBSET.json`` beside ``images/SUBSET``.
        """
        if named is not None:
            return cls((root / named,))
        own = annotations.parent
        subset = annotations.stem.removeprefix("instances_")
        places = [own, root, own / "images", root / "images", own.parent / "images", root / "images" / subset]
        return cls(tuple(dict.fromkeys(place for place in places if place.is_relative_to(root))))

    def locate(self, name: str, place: Place) -> tuple[str, Path]:
        """(the name that was meant, the file). A file that is nowhere is placed in the first folder.

        Tried in this order: the name as it stands (a backslash divides folders), with its URL-escapes resolved, and
        what follows ``?d=`` (Label Studio's local files); of an absolute name or URL its ends, the longest first.
        Raises Fault when it names no file (bad-file-name), or files in two folders (name-collision).
        """
        stem_of(name, place)
        spellings = list(_spellings(name.replace("\\", "/")))
        for spelling in spellings:
            found = list(dict.fromkeys(path for folder in self.folders if os.path.isfile(path := folder / spelling)))
            if len(found) > 1:
                raise Fault(
                    "name-collision",
                    place,
                    f"{shown(name)} may be {found[0]} or {found[1]}",
                    "name the folder of the images in data.options.images",
                )
            if found:
                return spelling, found[0]
        return spellings[0], self.folders[0] / spellings[0]


def _spellings(name: str) -> Iterator[str]:
    plain = unquote(name, errors="strict") if _escaped(name) else name
    variants = [name, plain]
    if "?d=" in plain:
        variants.append(plain.split("?d=", 1)[1])
    for variant in dict.fromkeys(variants):
        if variant and "\0" not in variant:
            yield variant
    for variant in dict.fromkeys(variants):
        bare = _DRIVE_OR_SCHEME.sub("", variant, count=1) if _DRIVE_OR_SCHEME.match(variant) else variant
        if bare == variant and not bare.startswith("/"):
            continue
        parts = [part for part in bare.split("/") if part]
        yield from ("/".join(parts[first:]) for first in range(len(parts)) if "\0" not in bare)


def _escaped(name: str) -> bool:
    if "%" not in name:
        return False
    try:
        unquote(name, errors="strict")
    except UnicodeDecodeError:
        return False
    return True
