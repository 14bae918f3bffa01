"""Sa2VA's training file: ``[{"image": name, "mask": [...], "text": [...]}, ...]``, mask[i] belonging to text[i]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselbench.config import Settings
from vesselbench.data.formats import fields
from vesselbench.data.masks import check_polygons
from vesselbench.errors import UserError
from vesselbench.recipes import validate_options
from vesselbench.types import Polygons, Sample


class Sa2VAOptions(Settings):
    """Options of the format ``sa2va``."""

    annotations: str = "annotations.json"
    """Annotation file, below data.root."""
    images: str = "images"
    """Folder of the images, below data.root."""


@dataclass
class _Entry:
    """Shapes by phrase of one image, over all records that name it."""

    shapes: dict[str, list[Polygons]] = field(default_factory=dict)
    indices: list[int] = field(default_factory=list)


class Sa2VAAnnotations:
    """One Sample per (image, text): masks that carry the same text are united, also over several records.

    Texts that differ in case, outer blanks or a final full stop only are the same: the target is called by the text
    without them, the prompt is its first spelling in the file.
    mask[i] is one flat polygon or a list of polygons; an empty list says that the text is absent from the image. A
    record without texts is a negative when the whole file has one text. The id of a sample is its file name without
    extension, with ``:text`` behind it when the file has several texts.
    """

    name = "sa2va"

    def read(self, root: Path, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield Samples in the order of the file; UserError names file, index and key of what is malformed."""
        chosen = validate_options(Sa2VAOptions, options, "data.options.")
        path = root / chosen.annotations
        entries: dict[str, _Entry] = {}
        spelling: dict[str, str] = {}
        for index, value in enumerate(fields.sequence(fields.load_json(path), path.name)):
            where = f"{path.name} [{index}]"
            record = fields.mapping(value, where)
            entry = entries.setdefault(fields.text(record, "image", where), _Entry())
            entry.indices.append(index)
            for phrase, shapes in _masks(record, where):
                key = fields.phrase_key(phrase)
                spelling.setdefault(key, phrase.strip())
                entry.shapes.setdefault(key, []).extend(shapes)
        phrases = sorted({phrase for entry in entries.values() for phrase in entry.shapes})
        for name, entry in entries.items():
            origin = f"{path.name} [{', '.join(map(str, entry.indices))}]"
            if not entry.shapes and len(phrases) != 1:
                raise UserError(
                    f"{origin}: no text, while the file has {len(phrases)}",
                    'say what is absent: "text": ["blood vessel"], "mask": [[]]',
                )
            for phrase, found in (entry.shapes or {phrases[0]: []}).items():
                yield Sample(
                    id=fields.stem_of(name, origin) + (f":{phrase}" if len(phrases) > 1 else ""),
                    image=root / chosen.images / name,
                    mask=tuple(found),
                    target=phrase,
                    prompt=spelling[phrase],
                    origin=origin,
                )


def _masks(record: dict[str, Any], where: str) -> Iterator[tuple[str, list[Polygons]]]:
    masks = fields.sequence(fields.required(record, "mask", where), f"{where}.mask")
    texts = fields.sequence(fields.required(record, "text", where), f"{where}.text")
    if len(masks) != len(texts):
        raise UserError(f"{where}: {len(masks)} masks but {len(texts)} texts", "give each mask its text")
    for position, (mask, phrase) in enumerate(zip(masks, texts, strict=True)):
        if not isinstance(phrase, str) or not fields.phrase_key(phrase):
            raise UserError(f"{where}.text[{position}]: expected a phrase, found {phrase!r}", "name the object")
        at = f"{where}.mask[{position}]"
        parts = fields.sequence(mask, at)
        if not parts:
            yield phrase, []
            continue
        if not isinstance(parts[0], list):  # one flat polygon
            parts = [parts]
        polygons = Polygons(tuple(fields.coordinates(part, at) for part in parts))
        check_polygons(polygons, at)
        yield phrase, [polygons]
