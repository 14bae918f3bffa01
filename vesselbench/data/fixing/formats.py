"""How each format stores outlines, sizes and ids: the side of `documents` that knows keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselbench.data.findings import Finding
from vesselbench.data.fixing.documents import RawShape, numbers_of, positive, read_files, top_item, untouched
from vesselbench.data.fixing.rules import Change
from vesselbench.data.survey import same_aspect
from vesselbench.types import Size

Sizes = Mapping[str, Size]
"""(H, W) of each image that can be read, by its path below the root."""
_LINES = ("line", "linestrip")
_POINTS = ("point", "points")


@dataclass
class LabelMeFiles:
    """One JSON per image; `image_by_file`: its image's path below the root."""

    files: dict[str, Any]
    image_by_file: dict[str, str]
    sizes: Sizes
    dropped: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, root: Path, images: Mapping[Path, Path], sizes: Sizes) -> LabelMeFiles:
        """`images`: annotation file -> image file."""
        files = read_files(root, list(images))
        named = {
            file.relative_to(root).as_posix(): image.relative_to(root).as_posix() for file, image in images.items()
        }
        return cls(files, named, sizes)

    def shapes(self) -> Iterator[RawShape]:
        for file, document in self.files.items():
            size = _stated(document, "imageHeight", "imageWidth") or self.sizes.get(self.image_by_file[file])
            for number, record in enumerate(_list(document, "shapes")):
                if not isinstance(record, dict) or (kind := record.get("shape_type", "polygon")) in _POINTS:
                    continue
                index = f"shapes[{number}].points"
                owner = (self.image_by_file[file], str(record.get("label")))
                if kind != "polygon":
                    yield untouched(file, index, owner)
                    continue
                points = record.get("points")
                pairs = [numbers_of(pair) for pair in points] if isinstance(points, list) else [None]
                if any(pair is None or len(pair) != 2 for pair in pairs):
                    continue
                flat = [value for pair in pairs for value in pair or ()]
                yield RawShape(file, index, owner, size, [flat], _constant(index), _points_writer(record, self.dropped))

    def mend_records(self) -> Iterator[Change]:
        for file, document in self.files.items():
            stated, real = _stated(document, "imageHeight", "imageWidth"), self.sizes.get(self.image_by_file[file])
            records = [record for record in _list(document, "shapes") if isinstance(record, dict)]
            if stated is None or real is None or stated == real or not same_aspect(stated, real):
                continue
            if any(record.get("shape_type") in _LINES for record in records):
                continue  # their width counts pixels of the stated size
            for record in records:
                pairs = record.get("points")
                if isinstance(pairs, list):
                    record["points"] = [_scaled(pair, stated, real) for pair in pairs]
            document["imageHeight"], document["imageWidth"] = real
            if document.get("imageData"):
                document["imageData"] = None  # a copy of the image at the other size
            yield Change("size-differs", file, "imageHeight, imageWidth", list(stated), list(real))

    def image_of(self, finding: Finding) -> str | None:
        return self.image_by_file.get(finding.file)

    def leave_out(self, images: set[str]) -> dict[str, str]:
        dropped = {id(record) for record in self.dropped}
        self.files = {file: value for file, value in self.files.items() if self.image_by_file[file] not in images}
        for document in self.files.values():
            if isinstance(document, dict) and isinstance(document.get("shapes"), list):
                document["shapes"] = [record for record in document["shapes"] if id(record) not in dropped]
        return {}


@dataclass
class Sa2VAFile:
    """``annotations.json``; images lie in `folder`, relative to the root (empty: the root)."""

    files: dict[str, Any]
    folder: str
    sizes: Sizes

    def shapes(self) -> Iterator[RawShape]:
        for file, records in self.files.items():
            for number, record in enumerate(records if isinstance(records, list) else []):
                masks, texts = _list(record, "mask"), _list(record, "text")
                if len(masks) != len(texts):
                    continue
                image = self._image(record)
                for position, mask in enumerate(masks):
                    flat = isinstance(mask, list) and bool(mask) and not isinstance(mask[0], list)
                    parts = [
                        numbers_of(part) for part in ([mask] if flat else mask if isinstance(mask, list) else [None])
                    ]
                    if not parts or any(part is None for part in parts):
                        continue
                    index = f"[{number}].mask[{position}]"
                    owner = (image, str(texts[position]).strip().casefold().removesuffix(".").rstrip())
                    outlines = [part for part in parts if part is not None]
                    write = _mask_writer(record, mask, flat)
                    yield RawShape(file, index, owner, self.sizes.get(image), outlines, _numbered(index), write)

    def mend_records(self) -> Iterator[Change]:
        for records in self.files.values():
            for record in records if isinstance(records, list) else []:
                masks = _list(record, "mask")
                kept = [place for place, mask in enumerate(masks) if mask is not None]
                if len(kept) < len(masks):
                    texts = record["text"]
                    record["mask"], record["text"] = [masks[n] for n in kept], [texts[n] for n in kept]
        return iter(())

    def image_of(self, finding: Finding) -> str | None:
        top, records = top_item(finding.index), self.files.get(finding.file)
        if top is None or not isinstance(records, list) or top[1] >= len(records):
            return None
        return self._image(records[top[1]])

    def leave_out(self, images: set[str]) -> dict[str, str]:
        for file, records in self.files.items():
            if isinstance(records, list):
                self.files[file] = [record for record in records if self._image(record) not in images]
        return {}

    def _image(self, record: Any) -> str:
        name = str(record.get("image")) if isinstance(record, dict) else ""
        return Path(self.folder, name.replace("\\", "/")).as_posix()


def _list(record: Any, key: str) -> list[Any]:
    value = record.get(key) if isinstance(record, dict) else None
    return value if isinstance(value, list) else []


def _stated(record: Any, height: str, width: str) -> Size | None:
    sides = [positive(record.get(key)) if isinstance(record, dict) else None for key in (height, width)]
    return None if sides[0] is None or sides[1] is None else (sides[0], sides[1])


def _scaled(pair: Any, stated: Size, real: Size) -> Any:
    numbers = numbers_of(pair)
    if numbers is None or len(numbers) != 2:
        return pair
    return [round(numbers[0] * real[1] / stated[1], 4), round(numbers[1] * real[0] / stated[0], 4)]


def _constant(index: str) -> Callable[[int], str]:
    return lambda _: index


def _numbered(index: str) -> Callable[[int], str]:
    return lambda number: f"{index}[{number}]"


def _points_writer(record: dict[str, Any], dropped: list[dict[str, Any]]) -> Callable[[list[list[float]]], None]:
    """Positions stay valid until `leave_out` removes what was dropped."""

    def write(parts: list[list[float]]) -> None:
        if parts:
            record["points"] = [list(pair) for pair in zip(parts[0][::2], parts[0][1::2], strict=True)]
        else:
            dropped.append(record)

    return write


def _mask_writer(record: dict[str, Any], mask: Any, flat: bool) -> Callable[[list[list[float]]], None]:
    """A dropped mask becomes None here and is removed with its text by `mend_records`: positions stay valid."""

    def write(parts: list[list[float]]) -> None:
        place = next(number for number, other in enumerate(record["mask"]) if other is mask)
        record["mask"][place] = None if not parts else parts[0] if flat else parts

    return write
