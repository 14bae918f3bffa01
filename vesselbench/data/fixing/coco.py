"""Outlines, sizes, ids and flags of COCO files, ARCADE's too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselbench.data.findings import Fault, Finding, Place
from vesselbench.data.fixing.documents import RawShape, numbers_of, positive, top_item, untouched
from vesselbench.data.fixing.rules import Change
from vesselbench.data.formats.coco_files import ImageFolders
from vesselbench.data.formats.coco_records import known_id
from vesselbench.data.masks import decode, encode_rle
from vesselbench.data.survey import same_aspect
from vesselbench.types import Rle, Size


@dataclass
class CocoFiles:
    """COCO documents; `folders`: where the images of each file may lie. Image paths are relative to `root`."""

    files: dict[str, Any]
    root: Path
    folders: Mapping[str, ImageFolders]
    sizes: Mapping[str, Size]
    dropped: list[dict[str, Any]] = field(default_factory=list)

    def shapes(self) -> Iterator[RawShape]:
        for file, document in self.files.items():
            images = self._by_id(file)
            for number, record in enumerate(_records(document, "annotations")):
                segmentation, image = record.get("segmentation"), images.get(_key(record.get("image_id")))
                index = f"annotations[{number}].segmentation"
                if image is None or not isinstance(segmentation, list | dict) or not segmentation:
                    continue
                owner = (self._image(file, image), str(_key(record.get("category_id"))))
                if isinstance(segmentation, dict):
                    yield untouched(file, index, owner)
                    continue
                parts = [numbers_of(part) for part in segmentation]
                if any(part is None for part in parts):
                    continue
                outlines = [part for part in parts if part is not None]
                write = _segmentation_writer(record, self.dropped)
                yield RawShape(file, index, owner, _size(image), outlines, _numbered(index), write)

    def mend_records(self) -> Iterator[Change]:
        for file, document in self.files.items():
            yield from _renumber(file, document)
            images = self._by_id(file)
            for number, record in enumerate(_records(document, "annotations")):
                if record.get("iscrowd") == 1 and isinstance(record.get("segmentation"), list):
                    record["iscrowd"] = 0
                    yield Change("crowd-polygons", file, f"annotations[{number}].iscrowd", 1, 0)
                image = images.get(_key(record.get("image_id")))
                real = self.sizes.get(self._image(file, image)) if image is not None else None
                if image is not None and real is not None:
                    yield from _fit(file, number, record, _size(image), real)
            for number, image in enumerate(_records(document, "images")):
                stated, real = _size(image), self.sizes.get(self._image(file, image))
                if stated is not None and real is not None and stated != real and same_aspect(stated, real):
                    image["height"], image["width"] = real
                    yield Change("size-differs", file, f"images[{number}]", list(stated), list(real))

    def image_of(self, finding: Finding) -> str | None:
        top, document = top_item(finding.index), self.files.get(finding.file)
        if top is None or document is None or top[0] not in ("images", "annotations"):
            return None
        records = document.get(top[0]) if isinstance(document, dict) else None
        record = records[top[1]] if isinstance(records, list) and top[1] < len(records) else None
        if not isinstance(record, dict):
            return None
        image = record if top[0] == "images" else self._by_id(finding.file).get(_key(record.get("image_id")))
        return None if image is None else self._image(finding.file, image)

    def leave_out(self, images: set[str]) -> dict[str, str]:
        """With an image goes every other of its id: which of them an annotation is of, nobody can tell."""
        reasons = self._of_equal_ids(images)
        images = images | reasons.keys()
        dropped = {id(record) for record in self.dropped}
        for file, document in self.files.items():
            gone = [image for image in _records(document, "images") if self._image(file, image) in images]
            ids, same = _ids(gone), {id(image) for image in gone}
            if gone:
                document["images"] = [image for image in document["images"] if id(image) not in same]
            annotations = document.get("annotations") if isinstance(document, dict) else None
            if isinstance(annotations, list):
                document["annotations"] = [
                    record
                    for record in annotations
                    if id(record) not in dropped
                    and not (ids and isinstance(record, dict) and _key(record.get("image_id")) in ids)
                ]
        return reasons

    def _of_equal_ids(self, images: set[str]) -> dict[str, str]:
        """The images that share an id with one of `images`, or with one that goes for that reason, in any file."""
        reasons: dict[str, str] = {}
        named = [[(self._image(file, one), one) for one in _records(self.files[file], "images")] for file in self.files]
        grown = True
        while grown:
            grown = False
            for records in named:
                ids = _ids([one for name, one in records if name in images or name in reasons])
                for name, one in records:
                    if name not in images and name not in reasons and _key(one.get("id")) in ids:
                        reasons[name] = f"duplicate-image-id: its id {one['id']!r} is that of an image that is left out"
                        grown = True
        return reasons

    def _by_id(self, file: str) -> dict[Any, dict[str, Any]]:
        """The first record of each id, as the reader takes it."""
        records: dict[Any, dict[str, Any]] = {}
        for image in _records(self.files[file], "images"):
            if image.get("id") is not None:
                records.setdefault(_key(image["id"]), image)
        return records

    def _image(self, file: str, record: dict[str, Any]) -> str:
        name = record.get("file_name")
        try:
            path = self.folders[file].locate(str(name), Place(file))[1]
        except Fault:
            return f"{file}: {name}"
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()


def _renumber(file: str, document: Any) -> Iterator[Change]:
    records = _records(document, "annotations")
    used: set[Any] = set()
    free = max((key for key in (_key(record.get("id")) for record in records) if isinstance(key, int)), default=0) + 1
    for number, record in enumerate(records):
        key = _key(record.get("id"))
        if key is None:
            continue
        if key in used:
            yield Change("duplicate-annotation-id", file, f"annotations[{number}].id", record["id"], free)
            record["id"], key, free = free, free, free + 1
        used.add(key)


def _fit(file: str, number: int, record: dict[str, Any], stated: Size | None, real: Size) -> Iterator[Change]:
    """Scale the outlines of one annotation from `stated` to `real`, or draw its run lengths anew."""
    segmentation, index = record.get("segmentation"), f"annotations[{number}]"
    if isinstance(segmentation, dict):
        rle = _rle(segmentation)
        if rle is None or rle.size == real or not same_aspect(rle.size, real):
            return  # of another aspect they are of another image, perhaps: a person must see the warning
        if stated != real and (stated is None or not same_aspect(stated, real)):
            return
        try:
            mask = decode((rle,), real, Place(file, index))
        except Fault:
            return  # it cannot be read: the image is left out
        counts = encode_rle(mask).counts
        assert isinstance(counts, bytes)
        record["segmentation"] = {"size": list(real), "counts": counts.decode("ascii")}
        _rescale_box(record, rle.size, real)
        if rle.size != stated:
            yield Change("rle-size", file, f"{index}.segmentation", {"size": list(rle.size)}, {"size": list(real)})
        return
    if stated is None or stated == real or not same_aspect(stated, real) or not isinstance(segmentation, list):
        return
    parts = [numbers_of(part) for part in segmentation]
    record["segmentation"] = [
        old if part is None else _scaled(part, stated, real) for old, part in zip(segmentation, parts, strict=True)
    ]
    _rescale_box(record, stated, real)


def _rescale_box(record: dict[str, Any], stated: Size, real: Size) -> None:
    box, area = numbers_of(record.get("bbox")), record.get("area")
    if box is not None and len(box) == 4:
        record["bbox"] = _scaled(box, stated, real)
    if isinstance(area, int | float) and not isinstance(area, bool):
        record["area"] = round(area * real[0] * real[1] / (stated[0] * stated[1]), 4)


def _scaled(numbers: list[float], stated: Size, real: Size) -> list[float]:
    factors = (real[1] / stated[1], real[0] / stated[0])
    return [round(value * factors[place % 2], 4) for place, value in enumerate(numbers)]


def _rle(value: dict[str, Any]) -> Rle | None:
    size, counts = value.get("size"), value.get("counts")
    sides = [positive(side) for side in size] if isinstance(size, list) else []
    if len(sides) != 2 or sides[0] is None or sides[1] is None:
        return None
    if isinstance(counts, str) and counts.isascii():
        return Rle(counts.encode("ascii"), (sides[0], sides[1]))
    whole = isinstance(counts, list) and all(isinstance(n, int) and not isinstance(n, bool) for n in counts)
    return Rle(tuple(counts), (sides[0], sides[1])) if whole and counts is not None else None


def _records(document: Any, key: str) -> list[dict[str, Any]]:
    """The mappings of a list, each at its own position: what is none of them counts as an empty one."""
    value = document.get(key) if isinstance(document, dict) else None
    return [record if isinstance(record, dict) else {} for record in value] if isinstance(value, list) else []


def _size(image: dict[str, Any]) -> Size | None:
    height, width = positive(image.get("height")), positive(image.get("width"))
    return None if height is None or width is None else (height, width)


def _key(value: Any) -> Any:
    """An id as the reader compares it; what cannot be one as a pair that equals no id; None without one."""
    known = known_id(value)
    return known if known is not None or value is None else ("no id", json.dumps(value))


def _ids(records: list[dict[str, Any]]) -> set[Any]:
    return {_key(record["id"]) for record in records if record.get("id") is not None}


def _numbered(index: str) -> Callable[[int], str]:
    return lambda number: f"{index}[{number}]"


def _segmentation_writer(record: dict[str, Any], dropped: list[dict[str, Any]]) -> Callable[[list[list[float]]], None]:
    """Positions stay valid until `leave_out` removes what was dropped."""

    def write(parts: list[list[float]]) -> None:
        if parts:
            record["segmentation"] = parts
        else:
            dropped.append(record)

    return write
