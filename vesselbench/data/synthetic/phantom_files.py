"""The files of the phantom: images drawn, trees annotated as polygons and as run lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import label

from vesselbench.data.masks import decode, encode_rle, to_uncompressed
from vesselbench.data.synthetic.drawing import draw_image, make_style
from vesselbench.data.synthetic.phantom_options import PhantomOptions
from vesselbench.data.synthetic.tree import Branch, grow_tree, outline
from vesselbench.types import BoolMask, Polygons, Rle


def draw_data_set(folder: Path, chosen: PhantomOptions) -> None:
    """Write images/*.png and annotations.json into the existing `folder`."""
    (folder / "images").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(chosen.images):
        patient = index // chosen.per_group
        style = make_style(
            np.random.default_rng([chosen.seed, 1, patient]), chosen.contrast, chosen.noise, chosen.trees
        )
        rng = np.random.default_rng([chosen.seed, 0, index])
        widths = (chosen.min_width, chosen.max_width)
        trees = [grow_tree(rng, chosen.size, widths) for _ in range(style.trees)]
        pixels = draw_image(rng, chosen.size, style, trees, chosen.max_width, chosen.clutter)
        name = f"patient{patient:03d}_{index % chosen.per_group}.png"
        Image.fromarray(pixels).save(folder / "images" / name)
        shapes = [Polygons(tuple(outline(branch) for branch in tree), (chosen.size, chosen.size)) for tree in trees]
        masks = [decode((shape,), (chosen.size, chosen.size), name) for shape in shapes]
        images.append(
            {
                "id": index,
                "file_name": name,
                "width": chosen.size,
                "height": chosen.size,
                "patient": f"patient{patient:03d}",
                "crossings": _crossings(masks),
            }
        )
        for tree, shape, mask in zip(trees, shapes, masks, strict=True):
            annotations.append(_annotation(len(annotations), index, tree, shape, mask))
    document = {
        "info": {"description": "synthetic vessel trees", "options": chosen.model_dump(mode="json")},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "vessel"}],
    }
    (folder / "annotations.json").write_text(json.dumps(document) + "\n", encoding="utf-8")


def _annotation(number: int, image: int, tree: list[Branch], shape: Polygons, mask: BoolMask) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1] if mask.any() else [0] * 4
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "segmentation": _segmentation(image, shape, mask),
        "area": int(mask.sum()),
        "bbox": box,
        "iscrowd": 0,
        "attributes": {"widths": [round(float(branch.widths.mean()), 2) for branch in tree]},
    }


def _segmentation(image: int, shape: Polygons, mask: BoolMask) -> Any:
    if image % 2 == 0:
        return [list(part) for part in shape.parts]
    rle = encode_rle(mask) if image % 4 == 1 else to_uncompressed(encode_rle(mask))
    return {"size": list(rle.size), "counts": _counts(rle)}


def _counts(rle: Rle) -> str | list[int]:
    return rle.counts.decode("ascii") if isinstance(rle.counts, bytes) else list(rle.counts)


def _crossings(masks: list[BoolMask]) -> int:
    """Connected regions where two trees overlap."""
    pairs = [(a, b) for index, a in enumerate(masks) for b in masks[index + 1 :]]
    return sum(int(label(a & b, np.ones((3, 3)))[1]) for a, b in pairs)
