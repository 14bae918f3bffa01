"""Thumbnails of faulty masks over their images."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from vesselbench.data.findings import Finding
from vesselbench.data.images import read_image
from vesselbench.data.masks import decode
from vesselbench.errors import UserError
from vesselbench.types import Sample, Size

SIDE = 300
"""Longest side of a thumbnail in pixels."""
MASK, TWICE, FAULTY = (250, 240, 170), (230, 97, 0), (255, 60, 80)
"""Mask pale yellow, where two shapes overlap orange, the faulty outline red."""
_DIMMED = 0.6
_STEP = re.compile(r"([A-Za-z_]\w*)|\[(\d+)\]")
_MOST_POINTS = 20_000


@dataclass
class Pictures:
    """Draws thumbnails of one data set; annotation files are read once."""

    root: Path
    samples: dict[str, Sample]
    documents: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path, samples: tuple[Sample, ...]) -> Pictures:
        """Samples are found by id, and the first of an image by the image's id, too."""
        named: dict[str, Sample] = {}
        for sample in samples:
            named.setdefault(sample.id.rsplit(":", 1)[0], sample)
            named[sample.id] = sample
        return cls(root, named)

    def draw(self, finding: Finding) -> bytes | None:
        """A JPEG of the sample that the finding is about; None when there is none, or it cannot be drawn."""
        sample = self.samples.get(finding.sample)
        if sample is None:
            return None
        try:
            picture = self._painted(sample, doubled=finding.code == "overlapping-polygons")
        except UserError:
            return None
        size = (picture.height, picture.width)
        outlines = list(self._outlines(finding, size))
        scale = min(1.0, SIDE / max(size))
        picture = picture.resize((max(1, round(size[1] * scale)), max(1, round(size[0] * scale))))
        draw = ImageDraw.Draw(picture)
        for outline in outlines:
            points = [(x * scale, y * scale) for x, y in outline]
            if len(points) > 2:
                draw.line([*points, points[0]], fill=FAULTY, width=2)
                continue
            for x, y in points:
                draw.ellipse((x - 5, y - 5, x + 5, y + 5), outline=FAULTY, width=2)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=80)
        return buffer.getvalue()

    def _painted(self, sample: Sample, doubled: bool) -> Image.Image:
        pixels = (read_image(sample.image) * _DIMMED).astype(np.uint8)
        size = (int(pixels.shape[0]), int(pixels.shape[1]))
        if sample.mask is None:
            return Image.fromarray(pixels)
        pixels[decode(sample.mask, size, sample.id)] = MASK
        if doubled and isinstance(sample.mask, tuple):
            once = np.zeros(size, np.bool_)
            for shape in sample.mask:
                mask = decode((shape,), size, sample.id)
                pixels[mask & once] = TWICE
                once |= mask
        return Image.fromarray(pixels)

    def _outlines(self, finding: Finding, size: Size) -> Iterator[list[tuple[float, float]]]:
        """The outlines at the finding's place in its file, in pixels of the image."""
        if not finding.file.lower().endswith(".json") or not finding.index:
            return
        if finding.file not in self.documents:
            try:
                text = (self.root / finding.file).read_text(encoding="utf-8-sig")
                self.documents[finding.file] = json.loads(text)
            except (OSError, ValueError, RecursionError):
                self.documents[finding.file] = None
        document = self.documents[finding.file]
        stated = _stated(document) or size
        for points in _points_of(value_at(document, finding.index)):
            yield [(x * size[1] / stated[1], y * size[0] / stated[0]) for x, y in points]


def value_at(document: Any, index: str) -> Any:
    """What stands at an index such as ``annotations[12].segmentation[0]``; None for one that leads nowhere."""
    if _STEP.sub("", index).replace(".", ""):
        return None
    for name, number in _STEP.findall(index):
        if name and isinstance(document, dict):
            document = document.get(name)
        elif number and isinstance(document, list) and int(number) < len(document):
            document = document[int(number)]
        else:
            return None
    return document


def _stated(document: Any) -> Size | None:
    """The size that a LabelMe file states."""
    if not isinstance(document, dict):
        return None
    height, width = document.get("imageHeight"), document.get("imageWidth")
    if not isinstance(height, int) or not isinstance(width, int) or not 0 < min(height, width) < 100_000:
        return None
    return (height, width)


def _points_of(value: Any) -> Iterator[list[tuple[float, float]]]:
    """Point lists in a value of any shape: flat numbers, pairs, or lists of these; far and odd ones are left out."""
    if isinstance(value, dict):
        value = value.get("segmentation", value.get("points"))
    if not isinstance(value, list) or not value or len(value) > _MOST_POINTS:
        return
    if all(_drawable(number) for number in value) and len(value) >= 2:
        whole = len(value) // 2 * 2
        yield [(float(x), float(y)) for x, y in zip(value[0:whole:2], value[1:whole:2], strict=True)]
    elif all(isinstance(pair, list) and len(pair) == 2 and all(map(_drawable, pair)) for pair in value):
        yield [(float(x), float(y)) for x, y in value]
    elif all(isinstance(part, list) and part and not isinstance(part[0], list) for part in value):
        for part in value:
            yield from _points_of(part)


def _drawable(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) < 1e6  # false for NaN
