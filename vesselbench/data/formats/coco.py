"""COCO instance annotations, as CVAT, Roboflow, Label Studio and others write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from vesselbench.config import Settings
from vesselbench.data.findings import Fault, Place, each
from vesselbench.data.formats import fields
from vesselbench.data.formats.coco_files import ImageFolders
from vesselbench.data.formats.coco_records import CocoDocument, CocoImage, Shape, read_document
from vesselbench.recipes import validate_options
from vesselbench.types import Sample


class CocoOptions(Settings):
    """Options of the format ``coco``."""

    annotations: str | list[str] = "annotations.json"
    """Annotation file below data.root, a list of them, or a pattern such as */_annotations.coco.json."""
    images: str | None = None
    """Folder below data.root that `file_name` is relative to. None: the folder of the annotation file, data.root, or
    `images` in one of them, wherever the image is."""
    categories: list[str] | None = None
    """Names of the categories to read, a target each; None: all that are used by an annotation."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Prompt of a category; default: its name."""
    group_key: str | None = None
    """Key of an image record that names the patient; None: data.group decides."""


class Coco:
    """One Sample per (image, category): all annotations of the two are united.

    Categories whose prompts are the same phrase are one target. An image without an annotation of a category that its
    file lists is an annotated negative of it. The id of a sample is its file name without extension, with ``:category``
    behind it when several categories are read; where several files are read, what tells them apart (folder or file
    name) stands before it.
    """

    name = "coco"

    def read(self, root: Path, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield Samples in the order of the files; Fault names file, index and key of what is malformed."""
        chosen = validate_options(CocoOptions, options, "data.options.")
        files = annotation_files(root, chosen.annotations)
        documents: dict[Path, CocoDocument] = {}
        for path, tag in tags(files, root).items():
            place = Place(_relative(path, root))
            with each(place):
                folders = ImageFolders.beside(path, root, chosen.images)
                documents[path] = read_document(path, place, root, folders, group_key=chosen.group_key, tag=tag)
        if not documents:
            return
        where = Place(", ".join(document.place.file for document in documents.values()))
        categories = {name for document in documents.values() for name in document.categories.values()}
        used = sorted({name for document in documents.values() for _, name in document.shapes})
        if not used and chosen.categories is None:
            cure = "name what is absent: data.options.categories=[vessel]"
            raise Fault("no-samples", where, "the file has no annotations", cure)
        wanted = used
        if chosen.categories is not None:
            wanted = fields.chosen(chosen.categories, categories, "category", str(where))
        fields.chosen(list(chosen.prompts), categories, "category", str(where))
        targets = fields.one_target_each(wanted, chosen.prompts)
        for document in documents.values():
            for image, target, members in _pairs(document, targets):
                stem = image.stem + (f":{target}" if len(targets) > 1 else "")
                prompt = chosen.prompts.get(target, target)
                yield united(document, image, members, id=stem, target=target, prompt=prompt)


def united(document: CocoDocument, image: CocoImage, members: Sequence[str], **values: str) -> Sample:
    """The Sample of one image: all shapes of the categories `members`, in file order. `values`: id, target, prompt."""
    found = sorted((pair for name in members for pair in document.shapes.get((image.id, name), [])), key=_index)
    place = document.place.key("annotations").item(*(index for index, _ in found)) if found else image.place
    return Sample(
        id=values["id"],
        image=image.path,
        mask=tuple(shape for _, shape in found),
        target=values["target"],
        prompt=values["prompt"],
        group=image.group,
        origin=str(place),
    )


def annotation_files(root: Path, named: str | list[str]) -> list[Path]:
    """The files that are named or match a pattern, sorted; Fault when a pattern matches none."""
    files: list[Path] = []
    for name in [named] if isinstance(named, str) else named:
        matches = sorted(root.glob(name)) if any(sign in name for sign in "*?[") else [root / name]
        if not matches:
            cure = "check data.root and data.options.annotations"
            raise Fault("missing-file", Place(name), f"no file in {root} is called so", cure)
        files += matches
    return list(dict.fromkeys(files))


def tags(files: Sequence[Path], root: Path) -> dict[Path, str]:
    """What stands before the ids of each file: nothing for one file, else its folder, or its name where that differs.

    ``train/_annotations.coco.json`` and ``valid/_annotations.coco.json`` give ``train/`` and ``valid/``; ``train.json``
    and ``val.json`` of one folder give the same.
    """
    if len(files) == 1:
        return {files[0]: ""}
    folders = {path: _relative(path.parent, root) for path in files}
    if len(set(folders.values())) == len(files):
        return {path: "" if folder == "." else f"{folder}/" for path, folder in folders.items()}
    return {path: Path(_relative(path, root)).with_suffix("").as_posix() + "/" for path in files}


def _pairs(document: CocoDocument, targets: dict[str, list[str]]) -> Iterator[tuple[CocoImage, str, list[str]]]:
    """Every image with every target that its file knows: an unknown one was not looked for."""
    known = set(document.categories.values())
    for image in document.images.values():
        for target, members in targets.items():
            if known.intersection(members):
                yield image, target, members


def _index(found: tuple[int, Shape]) -> int:
    return found[0]


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
