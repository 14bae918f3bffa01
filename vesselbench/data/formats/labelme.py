"""LabelMe: one JSON of labelled shapes per image."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from pydantic import Field

from vesselbench.config import Settings
from vesselbench.data.findings import Fault, Place, each, refuse_each, warn
from vesselbench.data.formats import fields
from vesselbench.data.formats.drawn import outlines
from vesselbench.data.formats.listing import files_by_stem, place_of, some
from vesselbench.data.masks import check_polygons, check_reach, examine_polygons
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
    line_width: float | None = Field(default=None, gt=0)
    """Width in which lines and linestrips are drawn, in pixels of the size that the file states; None: they are
    refused, because a line has no area of its own."""


class LabelMe:
    """One Sample per (image, label): shapes of one label are united, an absent label is an annotated negative.

    Polygons, rectangles, circles, and lines of ``line_width`` are read; points are ignored, and that is said; the copy
    of the image that a file may embed is never looked at. Labels whose prompts are the same phrase are one target.
    Shapes are scaled from the stated imageWidth and imageHeight. The id of a sample is its stem, with ``:label`` behind
    it when several labels are read.
    """

    name = "labelme"

    def read(self, root: Path, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield Samples sorted by stem; Fault names the file and the index of a malformed shape."""
        chosen = validate_options(LabelMeOptions, options, "data.options.")
        images = files_by_stem(root, chosen.images, "data.options.images")
        files = files_by_stem(root, chosen.annotations, "data.options.annotations", {".json"})
        _refuse_unpaired(root, chosen, images, files)
        documents: dict[str, dict[str, list[tuple[int, Polygons]]]] = {}
        for stem in sorted(files.keys() & images.keys()):
            place = place_of(files[stem], root)
            with each(place, stem):
                documents[stem] = _read_file(fields.load_json(files[stem], place, root), place, chosen.line_width, stem)
        occurring = {label for shapes in documents.values() for label in shapes}
        if not occurring:
            reason = f"no shape in any of the {len(files)} files in {root / chosen.annotations}"
            raise Fault("no-samples", "", reason, "annotate them")
        labels = fields.chosen(chosen.labels, occurring, "label", str(root / chosen.annotations))
        fields.chosen(list(chosen.prompts), occurring, "label", str(root / chosen.annotations))
        targets = fields.one_target_each(labels, chosen.prompts)
        for stem, shapes in documents.items():
            for label, members in targets.items():
                found = sorted((pair for member in members for pair in shapes.get(member, ())), key=itemgetter(0))
                place = place_of(files[stem], root)
                if found:
                    place = place.key("shapes").item(*(index for index, _ in found))
                yield Sample(
                    id=stem + (f":{label}" if len(targets) > 1 else ""),
                    image=images[stem],
                    mask=tuple(shape for _, shape in found),
                    target=label,
                    prompt=chosen.prompts.get(label, label),
                    origin=str(place),
                )


def _refuse_unpaired(root: Path, chosen: LabelMeOptions, images: dict[str, Path], files: dict[str, Path]) -> None:
    if not files:
        reason = f"no JSON files in {root / chosen.annotations}"
        raise Fault("no-samples", "", reason, "check data.root and data.options.annotations")
    if lonely := images.keys() - files.keys():
        refuse_each(
            "image-without-annotation",
            [place_of(images[stem], root) for stem in sorted(lonely)],
            f"no JSON of this stem in {root / chosen.annotations}",
            "save them in LabelMe (a file without shapes says: nothing there), or remove the images",
            f"{len(lonely)} of {len(images)} images have no JSON in {root / chosen.annotations}: {some(lonely)}",
        )
    if lonely := files.keys() - images.keys():
        refuse_each(
            "annotation-without-image",
            [place_of(files[stem], root) for stem in sorted(lonely)],
            f"no image of this stem in {root / chosen.images}",
            "add the images or remove the files",
            f"{len(lonely)} of {len(files)} JSON files have no image in {root / chosen.images}: {some(lonely)}",
        )


def _read_file(value: Any, top: Place, line_width: float | None, stem: str) -> dict[str, list[tuple[int, Polygons]]]:
    """The shapes of one file by label, each with its index."""
    document = fields.mapping(value, top)
    size = _stated_size(document, top)
    shapes: dict[str, list[tuple[int, Polygons]]] = {}
    for index, value in enumerate(fields.sequence(fields.required(document, "shapes", top), top.key("shapes"))):
        place = top.key("shapes").item(index)
        with each(place, stem):
            record = fields.mapping(value, place)
            shape = _shape(record, place, size, line_width, stem)
            label = fields.text(record, "label", place)
            if shape is not None:
                shapes.setdefault(label, []).append((index, shape))
    return shapes


def _shape(
    record: dict[str, Any], place: Place, size: Size | None, line_width: float | None, stem: str
) -> Polygons | None:
    """The shape as polygons; None for points, which have no area."""
    kind = record.get("shape_type", "polygon")  # files of old versions lack the key: all were polygons
    if kind in ("point", "points"):
        warn("point-ignored", place, "a point is no part of a mask", "outline it if it is meant", stem)
        return None
    points = _points(record, place)
    at = place.key("points")
    if kind == "polygon":
        polygons = Polygons((tuple(value for point in points for value in point),), size)
        examine_polygons(polygons, at, sample=stem)
    elif kind in ("rectangle", "circle"):
        polygons = Polygons(outlines(kind, points, None, at), size)
        examine_polygons(polygons, at, sample=stem)
    elif kind in ("line", "linestrip"):
        polygons = Polygons(outlines(kind, points, line_width, at), size)
        check_polygons(polygons, at)
        if size is not None:
            check_reach(polygons, size, at)  # and no more than that: half the width may well lie outside
    else:
        reason = f"{fields.shown(kind)} is no shape that is read here"
        cure = "draw it as polygon, rectangle, circle or line, or delete it"
        raise Fault("unsupported-shape", place, reason, cure)
    return polygons


def _points(record: dict[str, Any], place: Place) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    top = place.key("points")
    for number, point in enumerate(fields.sequence(fields.required(record, "points", place), top)):
        pair = fields.coordinates(point, top.item(number))
        if len(pair) != 2:
            reason = f"{len(pair)} coordinates, not x and y"
            raise Fault("odd-coordinates", top.item(number), reason, "mend the shape")
        points.append((pair[0], pair[1]))
    return points


def _stated_size(document: dict[str, Any], place: Place) -> Size | None:
    sides = [document.get("imageHeight"), document.get("imageWidth")]
    if sides == [None, None]:
        return None
    return (fields.whole(document, "imageHeight", place), fields.whole(document, "imageWidth", place))
