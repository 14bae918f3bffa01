"""The folder tree of ARCADE, coronary angiograms with COCO annotations (Popov et al., Scientific Data 11:20, 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from vesselbench.config import Settings
from vesselbench.data.findings import Fault, Place, each
from vesselbench.data.formats import fields
from vesselbench.data.formats.coco import united
from vesselbench.data.formats.coco_files import ImageFolders
from vesselbench.data.formats.coco_records import CocoDocument, read_document
from vesselbench.recipes import validate_options
from vesselbench.types import Sample

SetName = Literal["train", "val", "test"]
SETS: tuple[SetName, ...] = ("train", "val", "test")
_STENOSIS = "stenosis"


class ArcadeOptions(Settings):
    """Options of the format ``arcade``."""

    task: Literal["syntax", "stenosis"] = "syntax"
    """syntax: the vessel segments; stenosis: the narrowed places."""
    sets: list[SetName] = Field(default=list(SETS), min_length=1)
    """Official sets to read, out of train, val and test; a set that is named must be there."""
    per_class: bool = False
    """A target for each of the 25 SYNTAX segments instead of one target `vessel`."""
    prompt: str | None = None
    """The phrase of the one target; None: blood vessel, or narrowed blood vessel for the stenosis task."""


class Arcade:
    """One Sample per image: all vessel segments united; or per (image, segment), or the stenoses.

    Read from ``TASK/SET/annotations/SET.json`` and ``TASK/SET/images``. Ids begin with the set, because file names
    repeat across sets: ``train/17``. Annotations are found by image, never by their own ids, which repeat in the
    published files.
    """

    name = "arcade"

    def read(self, root: Path, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield Samples set by set in the order of the files; Fault names what is missing or malformed."""
        chosen = validate_options(ArcadeOptions, options, "data.options.")
        for name in dict.fromkeys(chosen.sets):
            place = Place(f"{chosen.task}/{name}/annotations/{name}.json")
            documents: list[CocoDocument] = []
            with each(place):
                path = root / place.file
                if not path.is_file():
                    cure = "unpack ARCADE so that data.root holds syntax and stenosis, or name other data.options.sets"
                    raise Fault("missing-file", place, "this annotation file of ARCADE is not there", cure)
                folders = ImageFolders((root / chosen.task / name / "images",))
                documents.append(read_document(path, place, root, folders, tag=f"{name}/"))
            for document in documents:
                yield from _samples(document, chosen)


def _samples(document: CocoDocument, chosen: ArcadeOptions) -> Iterator[Sample]:
    targets = _targets(document, chosen)
    for image in document.images.values():
        for target, (prompt, members) in targets.items():
            stem = image.stem + (f":{target}" if len(targets) > 1 else "")
            yield united(document, image, members, id=stem, target=target, prompt=prompt)


def _targets(document: CocoDocument, chosen: ArcadeOptions) -> dict[str, tuple[str, list[str]]]:
    """Target -> (prompt, names of the categories that it unites)."""
    names = sorted(set(document.categories.values()))
    segments = [name for name in names if name != _STENOSIS]
    if chosen.task == "stenosis":
        members = fields.chosen([_STENOSIS], names, "category", document.place.file)
        return {_STENOSIS: (chosen.prompt or "narrowed blood vessel", members)}
    if chosen.per_class:
        return {f"segment {name}": (f"coronary segment {name}", [name]) for name in segments}
    return {"vessel": (chosen.prompt or "blood vessel", segments)}
