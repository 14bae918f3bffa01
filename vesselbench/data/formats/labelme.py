"""LabelMe: one JSON of labelled polygons per image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from vesselbench.config import Settings
from vesselbench.data.formats import fields
from vesselbench.data.formats.listing import files_by_stem, some
from vesselbench.data.masks import check_polygons
from vesselbench.errors import UserError
from vesselbench.recipes import validate_options
from vesselbench.types import Polygons, Sample, Size


class LabelMeOptions(Settings):
    """Options of the format ``labelme``."""

    images: str = "."
    """Folder of the images below data.root, or a pattern with {stem}."""
    annotations: str = "."
    """Folder of the JSON files below data.root (equal stems), or a pattern with {stem}."""
    labels: list[str] | None = None
    """Labels to read, a target each; None: all that occur."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Prompt of a label; default: the label."""


class LabelMe:
    """One Sample per (image, label): polygons of one label are united, an absent label is an annotated negative.

    Labels whose prompts are the same phrase are one target. Polygons are scaled from the stated imageWidth and
    imageHeight. The id of a sample is its stem, with ``:label`` behind it when several labels are read.
    """

    name = "labelme"

    def read(self, root: Path, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield Samples sorted by stem; UserError names the file and the index of a malformed shape."""
        chosen = validate_options(LabelMeOptions, options, "data.options.")
        images = files_by_stem(root, chosen.images, "data.options.images")
        files = files_by_stem(root, chosen.annotations, "data.options.annotations", {".json"})
        _refuse_unpaired(root, chosen, set(images), set(files))
        documents = {stem: _shapes(path, str(path.relative_to(root))) for stem, path in files.items()}
        occurring = {label for shapes in documents.values() for label in shapes}
        if not occurring:
            raise UserError(
                f"no shape in any of the {len(files)} files in {root / chosen.annotations}", "annotate them"
            )
        labels = fields.chosen(chosen.labels, occurring, "label", str(root / chosen.annotations))
        fields.chosen(list(chosen.prompts), occurring, "label", str(root / chosen.annotations))
        targets = fields.one_target_each(labels, chosen.prompts)
        for stem, shapes in documents.items():
            for label, members in targets.items():
                yield Sample(
                    id=stem + (f":{label}" if len(targets) > 1 else ""),
                    image=images[stem],
                    mask=tuple(shape for member in members for shape in shapes.get(member, ())),
                    target=label,
                    prompt=chosen.prompts.get(label, label),
                    origin=str(files[stem].relative_to(root)),
                )


def _refuse_unpaired(root: Path, chosen: LabelMeOptions, images: set[str], files: set[str]) -> None:
    if not files:
        raise UserError(f"no JSON files in {root / chosen.annotations}", "check data.root and data.options.annotations")
    if images - files:
        lonely = images - files
        raise UserError(
            f"{len(lonely)} of {len(images)} images have no JSON in {root / chosen.annotations}: {some(lonely)}",
            "save them in LabelMe (a file without shapes says: nothing there), or remove the images",
        )
    if files - images:
        lonely = files - images
        raise UserError(
            f"{len(lonely)} of {len(files)} JSON files have no image in {root / chosen.images}: {some(lonely)}",
            "add the images or remove the files",
        )


def _shapes(path: Path, name: str) -> dict[str, list[Polygons]]:
    document = fields.mapping(fields.load_json(path), name)
    size = _stated_size(document, name)
    shapes: dict[str, list[Polygons]] = {}
    for index, value in enumerate(fields.sequence(fields.required(document, "shapes", name), f"{name} shapes")):
        where = f"{name} shapes[{index}]"
        record = fields.mapping(value, where)
        kind = record.get("shape_type", "polygon")  # files of old versions lack the key: all were polygons
        if kind != "polygon":
            raise UserError(f"{where}: a {kind!r}, only polygons are read", "draw it as a polygon or delete it")
        points: list[float] = []
        for number, point in enumerate(fields.sequence(fields.required(record, "points", where), f"{where}.points")):
            pair = fields.coordinates(point, f"{where}.points[{number}]")
            if len(pair) != 2:
                raise UserError(f"{where}.points[{number}]: {len(pair)} coordinates, not x and y", "mend the shape")
            points.extend(pair)
        polygons = Polygons((tuple(points),), size)
        check_polygons(polygons, f"{where}.points")
        shapes.setdefault(fields.text(record, "label", where), []).append(polygons)
    return shapes


def _stated_size(document: dict[str, Any], name: str) -> Size | None:
    sides = [document.get("imageHeight"), document.get("imageWidth")]
    if sides == [None, None]:
        return None
    return (fields.whole(document, "imageHeight", name), fields.whole(document, "imageWidth", name))
