"""Annotation files of a copy: coco, sa2va and labelme. A writer returns the options under which its format reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vesselbench.data.converting.scene import IMAGES, Scene, Scenes, WriteOptions
from vesselbench.data.converting.shapes import Shape, polygons_of, shapes_of
from vesselbench.data.geometry import misses
from vesselbench.data.masks import decode
from vesselbench.errors import UserError
from vesselbench.types import Polygons, Size

_PATIENT = "patient"


def write_coco(folder: Path, scenes: Scenes, options: WriteOptions) -> dict[str, Any]:
    """``annotations.json``: a category for each target, an annotation for each shape, the group as ``patient``."""
    scenes.require_all_targets("coco")
    groups = {scene: scene.group for scene in scenes.every} if scenes.grouped else {}
    names = {target: target for target in scenes.targets}
    document = coco_document({scene: scene.name for scene in scenes.every}, names, options, groups)
    write_document(folder / "annotations.json", document)
    reading: dict[str, Any] = {IMAGES: IMAGES}
    if len({annotation["category_id"] for annotation in document["annotations"]}) < len(names):
        reading["categories"] = list(names)  # one that no annotation uses is read only when it is named
    if scenes.grouped:
        reading["group_key"] = _PATIENT
    return reading | _prompts(scenes)


def coco_document(
    files: Mapping[Scene, str],
    names: Mapping[str, str],
    options: WriteOptions,
    groups: Mapping[Scene, str] | None = None,
) -> dict[str, Any]:
    """A COCO file as a value. `files`: scene -> file name, `names`: target -> category, `groups`: scene -> patient."""
    numbers = {target: number for number, target in enumerate(names, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (scene, file) in enumerate(files.items(), 1):
        record = {"id": number, "file_name": file, "height": scene.size[0], "width": scene.size[1]}
        images.append(record | ({_PATIENT: groups[scene]} if groups else {}))
        for sample in scene.samples:
            for shape in shapes_of(sample, scene.size, options):
                owner = {"id": len(annotations) + 1, "image_id": number, "category_id": numbers[sample.target]}
                annotations.append(owner | _annotation(shape, scene.size))
    categories = [{"id": number, "name": names[target]} for target, number in numbers.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_sa2va(folder: Path, scenes: Scenes, options: WriteOptions) -> dict[str, Any]:
    """``annotations.json``: a record for each image; mask[i] holds all polygons of text[i], none if it is absent."""
    records = []
    for scene in scenes.every:
        masks = [
            [list(part) for polygons in polygons_of(sample, scene.size, options) for part in polygons.parts]
            for sample in scene.samples
        ]
        texts = [sample.prompt for sample in scene.samples]
        records.append({"image": scene.name, "mask": masks, "text": texts})
    write_document(folder / "annotations.json", records)
    return {IMAGES: IMAGES}


def write_labelme(folder: Path, scenes: Scenes, options: WriteOptions) -> dict[str, Any]:
    """A JSON beside each image; the parts of one shape share a ``group_id``.

    UserError for a target without any shape: files that never name a label cannot say that it is absent.
    """
    scenes.require_all_targets("labelme")
    seen: set[str] = set()
    for scene in scenes.every:
        shapes = _labelled(scene, options)
        seen |= {str(shape["label"]) for shape in shapes}
        document: dict[str, Any] = {"version": "5.5.0", "flags": {}, "shapes": shapes}
        document |= {"imagePath": scene.name.rpartition("/")[2], "imageData": None}
        document |= {"imageHeight": scene.size[0], "imageWidth": scene.size[1]}
        write_document(folder / IMAGES / f"{scene.stem}.json", document)
    if bare := sorted(scenes.targets.keys() - seen):
        raise UserError(f"no image shows {bare[0]!r}, which LabelMe's files cannot say", "write coco or sa2va")
    return {IMAGES: IMAGES, "annotations": IMAGES} | _prompts(scenes)


def _annotation(shape: Shape, size: Size) -> dict[str, Any]:
    mask = decode((shape,), size, "a shape that is written")
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [0, 0, 0, 0]
    if mask.any():
        box = [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1]
    segmentation: Any
    if isinstance(shape, Polygons):
        segmentation = [list(part) for part in shape.parts]
    else:
        counts = shape.counts.decode("ascii") if isinstance(shape.counts, bytes) else list(shape.counts)
        segmentation = {"size": list(shape.size), "counts": counts}
    return {"segmentation": segmentation, "area": int(mask.sum()), "bbox": box, "iscrowd": 0}


def _labelled(scene: Scene, options: WriteOptions) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    number = 0
    for sample in scene.samples:
        for polygons in polygons_of(sample, scene.size, options):
            number += 1
            for part in polygons.parts:
                points = np.reshape(part, (-1, 2))
                if misses(points, scene.size):
                    continue  # it has no pixel, and as a shape of its own LabelMe's reader refuses it
                group = number if len(polygons.parts) > 1 else None
                kind = {"shape_type": "polygon", "description": "", "flags": {}}
                records.append({"label": sample.target, "points": points.tolist(), "group_id": group} | kind)
    return records


def _prompts(scenes: Scenes) -> dict[str, Any]:
    """The prompts that are not their target's name, where there are any."""
    prompts = {target: prompt for target, prompt in scenes.targets.items() if prompt != target}
    return {"prompts": prompts} if prompts else {}


def write_document(path: Path, value: Any) -> None:
    """Write JSON in UTF-8 into a folder that need not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
