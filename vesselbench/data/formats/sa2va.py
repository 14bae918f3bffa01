"""Sa2VA's training file: ``[{"image": name, "mask": [...], "text": [...]}, ...]``, mask[i] belonging to text[i]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselbench.config import Settings
from vesselbench.data.findings import Fault, Place, each
from vesselbench.data.formats import fields
from vesselbench.data.masks import examine_polygons
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

    stem: str
    shapes: dict[str, list[Polygons]] = field(default_factory=dict)
    indices: list[int] = field(default_factory=list)

    def samples(self, image: Path, origin: Place, phrases: list[str], spelling: dict[str, str]) -> Iterator[Sample]:
        """A Sample per phrase; a record without one is a negative of the file's only phrase."""
        for phrase, found in (self.shapes or {phrases[0]: []}).items():
            yield Sample(
                id=self.stem + (f":{phrase}" if len(phrases) > 1 else ""),
                image=image,
                mask=tuple(found),
                target=phrase,
                prompt=spelling[phrase],
                origin=str(origin),
            )


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
        """Yield Samples in the order of the file; Fault names file, index and key of what is malformed."""
        chosen = validate_options(Sa2VAOptions, options, "data.options.")
        top = Place(chosen.annotations)
        entries: dict[str, _Entry] = {}
        spelling: dict[str, str] = {}
        for index, value in enumerate(fields.sequence(fields.load_json(root / chosen.annotations, top, root), top)):
            place = top.item(index)
            with each(place):
                record = fields.mapping(value, place)
                name = fields.text(record, "image", place)
                stem = fields.stem_of(name, place)
                name = name.replace("\\", "/")
                with each(place, stem):
                    entry = entries.get(name, _Entry(stem))
                    _read_masks(record, place, entry, spelling)
                    entry.indices.append(index)
                    entries[name] = entry
        phrases = sorted({phrase for entry in entries.values() for phrase in entry.shapes})
        for name, entry in entries.items():
            origin, samples = top.item(*entry.indices), list[Sample]()
            with each(origin, entry.stem):
                if not entry.shapes and len(phrases) != 1:
                    reason = f"no text, while the file has {len(phrases)}"
                    cure = 'say what is absent: "text": ["blood vessel"], "mask": [[]]'
                    raise Fault("no-text", origin, reason, cure)
                samples += entry.samples(root / chosen.images / name, origin, phrases, spelling)
            yield from samples


def _read_masks(record: dict[str, Any], place: Place, entry: _Entry, spelling: dict[str, str]) -> None:
    masks = fields.sequence(fields.required(record, "mask", place), place.key("mask"))
    texts = fields.sequence(fields.required(record, "text", place), place.key("text"))
    if len(masks) != len(texts):
        raise Fault("text-count", place, f"{len(masks)} masks but {len(texts)} texts", "give each mask its text")
    for position, (mask, phrase) in enumerate(zip(masks, texts, strict=True)):
        at = place.key("text").item(position)
        with each(at, entry.stem):
            if not isinstance(phrase, str) or not fields.phrase_key(phrase):
                raise Fault("empty-text", at, f"expected a phrase, found {fields.shown(phrase)}", "name the object")
            key = fields.phrase_key(fields.text({"text": phrase}, "text", at))
            spelling.setdefault(key, phrase.strip())
            shapes = entry.shapes.setdefault(key, [])
            shapes += _polygons(mask, place.key("mask").item(position), entry.stem)


def _polygons(mask: Any, place: Place, sample: str) -> list[Polygons]:
    """mask[i]: one flat polygon, a list of polygons, or an empty list for what is absent."""
    parts = fields.sequence(mask, place)
    if not parts:
        return []
    if not isinstance(parts[0], list):  # one flat polygon
        parts = [parts]
    polygons = Polygons(tuple(fields.coordinates(part, place.item(n)) for n, part in enumerate(parts)))
    examine_polygons(polygons, place, sample=sample)
    return [polygons]
