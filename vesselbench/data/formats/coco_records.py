"""One COCO file, checked record by record: categories, images, and the shapes of each (image, category)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselbench.data.findings import Fault, Place, each, warn
from vesselbench.data.formats import fields
from vesselbench.data.formats.coco_files import ImageFolders
from vesselbench.data.masks import examine_polygons, examine_rle
from vesselbench.types import Polygons, Rle, Size

Id = int | str
Shape = Polygons | Rle


@dataclass(frozen=True)
class CocoImage:
    """An image record that passed the checks. `stem`: the tag of its file, then its name without extension."""

    id: Id
    stem: str
    path: Path
    size: Size
    group: str
    place: Place


@dataclass
class CocoDocument:
    """What one file says. `shapes`: (image id, category name) -> (index of the annotation, shape), in file order."""

    place: Place
    tag: str = ""
    categories: dict[Id, str] = field(default_factory=dict)
    images: dict[Id, CocoImage] = field(default_factory=dict)
    shapes: dict[tuple[Id, str], list[tuple[int, Shape]]] = field(default_factory=dict)
    dropped: set[Id] = field(default_factory=set)
    """Ids of image records that were faulty: their annotations are dropped with them."""


def read_document(
    path: Path, place: Place, root: Path, folders: ImageFolders, *, group_key: str | None = None, tag: str = ""
) -> CocoDocument:
    """Read one file of the data set at `root`, with `tag` before the name of every image.

    Fault names file, index and key of the first thing wrong, see `vesselbench.data.findings.each`.
    Ids may be numbers or their digits. Annotations are found by image and position, never by their own id.
    """
    record = fields.mapping(fields.load_json(path, place, root), place)
    document = CocoDocument(place, tag)
    _read_categories(record, document)
    _read_images(record, document, folders, group_key)
    _read_annotations(record, document)
    return document


def _read_categories(record: dict[str, Any], document: CocoDocument) -> None:
    top = document.place.key("categories")
    for index, value in enumerate(fields.sequence(fields.required(record, "categories", document.place), top)):
        place = top.item(index)
        with each(place):
            category = fields.mapping(value, place)
            number, name = fields.same_id(fields.identity(category, "id", place)), fields.text(category, "name", place)
            if number in document.categories:
                raise Fault("duplicate-category", place, f"id {number!r} stands there twice", "give each its own")
            if name in document.categories.values():
                warn("repeated-category", place, f"a second category {name!r}; both are one", "fine if meant")
            document.categories[number] = name


def _read_images(record: dict[str, Any], document: CocoDocument, folders: ImageFolders, group_key: str | None) -> None:
    top = document.place.key("images")
    files: dict[Path, Place] = {}
    for index, value in enumerate(fields.sequence(fields.required(record, "images", document.place), top)):
        place, number = top.item(index), None
        with each(place):
            image = fields.mapping(value, place)
            number = fields.same_id(fields.identity(image, "id", place))
            name, path = folders.locate(fields.text(image, "file_name", place), place)
            found = CocoImage(
                id=number,
                stem=document.tag + fields.stem_of(name, place),
                path=path,
                size=(fields.whole(image, "height", place), fields.whole(image, "width", place)),
                group=str(fields.identity(image, group_key, place)) if group_key else "",
                place=place,
            )
            if path in files:
                raise Fault("duplicate-image", place, f"{name!r} stands in {files[path]} too", "keep one of them")
            if number in document.images:
                reason = f"id {number!r} stands in {document.images[number].place} too"
                raise Fault("duplicate-image-id", place, reason, "give each image its own id")
            files[path] = place
            document.images[number] = found
        if number is not None and number not in document.images:
            document.dropped.add(number)


def _read_annotations(record: dict[str, Any], document: CocoDocument) -> None:
    top = document.place.key("annotations")
    own: dict[Id, int] = {}
    for index, value in enumerate(fields.sequence(fields.required(record, "annotations", document.place), top)):
        place = top.item(index)
        stem = _stem(value, document)
        with each(place, stem):
            annotation = fields.mapping(value, place)
            _warn_of_equal_ids(annotation, index, own, place)
            image = fields.same_id(fields.identity(annotation, "image_id", place))
            if image in document.dropped:
                continue
            category = fields.same_id(fields.identity(annotation, "category_id", place))
            if image not in document.images:
                reason = f"image_id {fields.shown(image)} is no image of the file"
                raise Fault("unknown-image", place, reason, "add the image or delete it")
            if category not in document.categories:
                known = ", ".join(fields.shown(number) for number in list(document.categories)[:8])
                reason = f"category_id {fields.shown(category)} is unknown"
                raise Fault("unknown-category", place, reason, f"known ids: {known}")
            size = document.images[image].size
            segmentation = fields.required(annotation, "segmentation", place)
            shape = _shape(segmentation, place.key("segmentation"), size, stem)
            if isinstance(shape, Polygons) and annotation.get("iscrowd") == 1:
                warn("crowd-polygons", place, "iscrowd is 1, yet these are polygons", "set iscrowd to 0", stem)
            document.shapes.setdefault((image, document.categories[category]), []).append((index, shape))


def known_id(value: Any) -> Id | None:
    """The id as records are compared by it (1.0 and "1" are 1); None for what is no id, as a boolean."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return fields.same_id(value) if isinstance(value, int | str) and not isinstance(value, bool) else None


def _stem(annotation: Any, document: CocoDocument) -> str:
    number = known_id(annotation.get("image_id")) if isinstance(annotation, dict) else None
    image = document.images.get(number) if number is not None else None
    return image.stem if image else ""


def _warn_of_equal_ids(annotation: dict[str, Any], index: int, own: dict[Id, int], place: Place) -> None:
    """The id is not needed here, so one that is missing or odd does not matter; a repeated one misleads other tools."""
    number = known_id(annotation.get("id"))
    if number is None:
        return
    first = own.setdefault(number, index)
    if first != index:
        reason = f"id {fields.shown(number)} is that of annotations[{first}], too"
        warn("duplicate-annotation-id", place.key("id"), reason, "number them anew; they are read by position here")


def _shape(value: Any, place: Place, size: Size, sample: str) -> Shape:
    if isinstance(value, dict):
        rle = _rle(value, place)
        examine_rle(rle, place, size, sample)
        return rle
    parts = fields.sequence(value, place)
    if parts and not isinstance(parts[0], list):
        reason = "a flat list of numbers" if isinstance(parts[0], int | float) else "a list of no polygons"
        raise Fault("flat-list", place, reason, "COCO wants a list of polygons: put it into brackets")
    if not parts:
        reason = "empty (a box without an outline)"
        raise Fault("empty-segmentation", place, reason, "outline the object or delete the annotation")
    polygons = Polygons(tuple(fields.coordinates(part, place.item(n)) for n, part in enumerate(parts)), size)
    examine_polygons(polygons, place, sample=sample)
    return polygons


def _rle(record: dict[str, Any], place: Place) -> Rle:
    again = "export the annotations again"
    size = fields.sequence(fields.required(record, "size", place), place.key("size"))
    if len(size) != 2 or not all(isinstance(side, int) and not isinstance(side, bool) for side in size):
        reason = f"expected [height, width], found {fields.shown(size)}"
        raise Fault("wrong-kind", place.key("size"), reason, again)
    counts = fields.required(record, "counts", place)
    if isinstance(counts, str):
        if not counts.isascii():
            raise Fault("rle-damaged", place.key("counts"), "not a run-length string", again)
        return Rle(counts.encode("ascii"), (size[0], size[1]))
    for position, count in enumerate(fields.sequence(counts, place.key("counts"))):
        if not isinstance(count, int) or isinstance(count, bool):
            at = place.key("counts").item(position)
            raise Fault("wrong-kind", at, f"{fields.shown(count)} is not a whole number", again)
    return Rle(tuple(counts), (size[0], size[1]))
