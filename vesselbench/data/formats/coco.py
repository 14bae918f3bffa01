"""COCO instance annotations: polygons, compressed and uncompressed run lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from vesselbench.config import Settings
from vesselbench.data.formats import fields
from vesselbench.data.masks import check_polygons, check_rle
from vesselbench.errors import UserError
from vesselbench.recipes import validate_options
from vesselbench.types import Polygons, Rle, Sample, Size

Shapes = tuple[Polygons | Rle, ...]
Id = int | str


class CocoOptions(Settings):
    """Options of the format ``coco``."""

    annotations: str = "annotations.json"
    """Annotation file, below data.root."""
    images: str = ""
    """Folder that `file_name` is relative to, below data.root."""
    categories: list[str] | None = None
    """Names of the categories to read, a target each; None: all that are used by an annotation."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Prompt of a category; default: its name."""
    group_key: str | None = None
    """Key of an image record that names the patient; None: data.group decides."""


@dataclass(frozen=True)
class CocoImage:
    """An image record that passed the checks; `where` is its place in the file."""

    id: Id
    file_name: str
    size: Size
    group: str
    where: str


class Coco:
    """One Sample per (image, category): all annotations of the two are united.

    Categories whose prompts are the same phrase are one target. An image without an annotation of a category is an
    annotated negative of it. Annotations are found by image and position, never by their own id (which is not unique in
    files in the wild). The id of a sample is its file name
    without extension, with ``:category`` behind it when several categories are read.
    """

    name = "coco"

    def read(self, root: Path, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield Samples in the order of the file; UserError names file, index and key of what is malformed."""
        chosen = validate_options(CocoOptions, options, "data.options.")
        path = root / chosen.annotations
        document = fields.mapping(fields.load_json(path), path.name)
        categories = _categories(document, path.name)
        images = list(_images(document, path.name, chosen.group_key))
        shapes = _shapes(document, path.name, {image.id: image.size for image in images}, categories)
        used = sorted({category for _, category in shapes})
        if not used and chosen.categories is None:
            raise UserError(f"{path.name} has no annotations", "name what is absent: data.options.categories=[vessel]")
        wanted = used
        if chosen.categories is not None:
            wanted = fields.chosen(chosen.categories, categories.values(), "category", path.name)
        fields.chosen(list(chosen.prompts), categories.values(), "category", path.name)
        targets = fields.one_target_each(wanted, chosen.prompts)
        for image in images:
            for target, members in targets.items():
                found = sorted((pair for name in members for pair in shapes.get((image.id, name), [])), key=_index)
                yield Sample(
                    id=fields.stem_of(image.file_name, image.where) + (f":{target}" if len(targets) > 1 else ""),
                    image=root / chosen.images / image.file_name,
                    mask=tuple(shape for _, shape in found),
                    target=target,
                    prompt=chosen.prompts.get(target, target),
                    group=image.group,
                    origin=_origin(path.name, image.where, [index for index, _ in found]),
                )


def _index(found: tuple[int, Polygons | Rle]) -> int:
    return found[0]


def _origin(name: str, image: str, annotations: list[int]) -> str:
    return f"{name} annotations[{', '.join(map(str, annotations))}]" if annotations else image


def _categories(document: dict[str, Any], name: str) -> dict[Id, str]:
    categories: dict[Id, str] = {}
    for index, value in enumerate(fields.sequence(fields.required(document, "categories", name), f"{name} categories")):
        where = f"{name} categories[{index}]"
        record = fields.mapping(value, where)
        number, label = fields.identity(record, "id", where), fields.text(record, "name", where)
        if number in categories or label in categories.values():
            raise UserError(f"{where}: id {number!r} or name {label!r} stands there twice", "give each its own")
        categories[number] = label
    return categories


def _images(document: dict[str, Any], name: str, group_key: str | None) -> Iterator[CocoImage]:
    seen: dict[str, str] = {}
    ids: dict[Id, str] = {}
    for index, value in enumerate(fields.sequence(fields.required(document, "images", name), f"{name} images")):
        where = f"{name} images[{index}]"
        record = fields.mapping(value, where)
        image = CocoImage(
            id=fields.identity(record, "id", where),
            file_name=fields.text(record, "file_name", where),
            size=(fields.whole(record, "height", where), fields.whole(record, "width", where)),
            group=str(fields.identity(record, group_key, where)) if group_key else "",
            where=where,
        )
        if image.file_name in seen:
            raise UserError(f"{where}: {image.file_name!r} stands in {seen[image.file_name]} too", "keep one of them")
        if image.id in ids:
            raise UserError(f"{where}: id {image.id!r} stands in {ids[image.id]} too", "give each image its own id")
        seen[image.file_name] = ids[image.id] = where
        yield image


def _shapes(
    document: dict[str, Any], name: str, sizes: dict[Id, Size], categories: dict[Id, str]
) -> dict[tuple[Id, str], list[tuple[int, Polygons | Rle]]]:
    """(image id, category name) -> (index of the annotation, shape), in the order of the file."""
    shapes: dict[tuple[Id, str], list[tuple[int, Polygons | Rle]]] = {}
    records = fields.sequence(fields.required(document, "annotations", name), f"{name} annotations")
    for index, value in enumerate(records):
        where = f"{name} annotations[{index}]"
        record = fields.mapping(value, where)
        image, category = fields.identity(record, "image_id", where), fields.identity(record, "category_id", where)
        if image not in sizes:
            raise UserError(f"{where}: image_id {image!r} is no image of the file", "add the image or delete it")
        if category not in categories:
            known = ", ".join(str(number) for number in list(categories)[:8])
            raise UserError(f"{where}: category_id {category!r} is unknown", f"known ids: {known}")
        shape = _shape(fields.required(record, "segmentation", where), f"{where}.segmentation", sizes[image])
        shapes.setdefault((image, categories[category]), []).append((index, shape))
    return shapes


def _shape(value: Any, where: str, size: Size) -> Polygons | Rle:
    if isinstance(value, dict):
        return _rle(value, where)
    parts = fields.sequence(value, where)
    if parts and not isinstance(parts[0], list):
        raise UserError(f"{where}: a flat list of numbers", "COCO wants a list of polygons: put it into brackets")
    if not parts:
        raise UserError(f"{where}: empty (a box without an outline)", "outline the object or delete the annotation")
    polygons = Polygons(tuple(fields.coordinates(part, f"{where}[{n}]") for n, part in enumerate(parts)), size)
    check_polygons(polygons, where)
    return polygons


def _rle(record: dict[str, Any], where: str) -> Rle:
    size = fields.sequence(fields.required(record, "size", where), f"{where}.size")
    if len(size) != 2 or not all(isinstance(side, int) and not isinstance(side, bool) for side in size):
        raise UserError(f"{where}.size: expected [height, width], found {size!r}", "export the annotations again")
    counts = fields.required(record, "counts", where)
    if isinstance(counts, str):
        if not counts.isascii():
            raise UserError(f"{where}.counts: not a run-length string", "export the annotations again")
        rle = Rle(counts.encode("ascii"), (size[0], size[1]))
    else:
        for position, count in enumerate(fields.sequence(counts, f"{where}.counts")):
            if not isinstance(count, int) or isinstance(count, bool):
                raise UserError(f"{where}.counts[{position}]: {count!r} is not a whole number", "export it again")
        rle = Rle(tuple(counts), (size[0], size[1]))
    check_rle(rle, where)
    return rle
