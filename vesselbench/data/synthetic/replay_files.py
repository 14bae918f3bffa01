"""The annotation files of a replay, as LabelMe and as Sa2VA's training script write them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesselbench.types import Size

LABEL = "blood vessel"
Outline = tuple[float, ...]


@dataclass(frozen=True)
class FrameFile:
    """A frame and its outlines, flat x, y in pixels of `size`; the annotation states `stated`. Sizes: (H, W)."""

    name: str
    size: Size
    stated: Size
    outlines: tuple[Outline, ...]


def write_labelme(folder: Path, frames: Iterable[FrameFile]) -> None:
    """One JSON per frame, its points in pixels of the stated size."""
    for frame in frames:
        scale = (frame.stated[1] / frame.size[1], frame.stated[0] / frame.size[0])
        shapes: list[dict[str, Any]] = [
            {
                "label": LABEL,
                "points": [[round(x * scale[0], 2), round(y * scale[1], 2)] for x, y in _pairs(outline)],
                "group_id": None,
                "shape_type": "polygon",
                "flags": {},
            }
            for outline in frame.outlines
        ]
        document: dict[str, Any] = {
            "version": "5.2.1",
            "flags": {},
            "shapes": shapes,
            "imagePath": frame.name,
            "imageData": None,
            "imageHeight": frame.stated[0],
            "imageWidth": frame.stated[1],
        }
        (folder / frame.name).with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def write_sa2va(folder: Path, frames: Iterable[FrameFile]) -> None:
    """``annotations.json``: mask[i] is ONE flat outline of text[i], in pixels of the image."""
    records = [
        {
            "image": frame.name,
            "mask": [[round(value, 2) for value in outline] for outline in frame.outlines],
            "text": [LABEL] * len(frame.outlines),
        }
        for frame in frames
    ]
    (folder / "annotations.json").write_text(json.dumps(records) + "\n", encoding="utf-8")


def _pairs(outline: Outline) -> Iterable[tuple[float, float]]:
    return zip(outline[::2], outline[1::2], strict=True)
