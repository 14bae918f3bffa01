"""The built-in data set: synthetic angiograms with known vessels, written as real files into a cache folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import Field, model_validator
from scipy.ndimage import label

from vesselbench.config import Settings
from vesselbench.data.drawing import draw_image, make_style
from vesselbench.data.formats.coco import Coco
from vesselbench.data.masks import decode, encode_rle, to_uncompressed
from vesselbench.data.tree import Branch, grow_tree, outline
from vesselbench.errors import UserError
from vesselbench.recipes import validate_options
from vesselbench.types import BoolMask, Polygons, Rle, Sample

DRAWING = 1
"""Version of the drawing: raise it with every change of a pixel or a point, so that old caches are not used."""
_COCO = {"group_key": "patient", "categories": ["vessel"], "prompts": {"vessel": "blood vessel"}}


class PhantomOptions(Settings):
    """Options of the format ``phantom``."""

    seed: int = Field(0, ge=0)
    """Every pixel follows from it."""
    images: int = Field(120, ge=3, le=100_000)
    """Number of images."""
    per_group: int = Field(4, ge=1)
    """Images per patient; they share background, contrast and number of trees."""
    size: int = Field(128, ge=32, le=4096)
    """Side of the square images in pixels."""
    min_width: float = Field(2.5, ge=1)
    """No branch starts thinner than this, in pixels."""
    max_width: float = Field(8.0, le=64)
    """Widest trunk in pixels."""
    trees: tuple[int, int] = (1, 3)
    """Fewest and most vessel trees per image; trees may cross."""
    contrast: tuple[float, float] = (0.3, 0.45)
    """Least and most light that the widest vessel takes away."""
    noise: float = Field(0.02, ge=0, le=1)
    """Standard deviation of the noise, as a share of the grey range."""
    clutter: int = Field(3, ge=0, le=100)
    """Dark blobs per image that are no vessels."""

    @model_validator(mode="after")
    def _ranges_rise(self) -> PhantomOptions:
        if self.min_width >= 0.6 * self.max_width:
            raise ValueError("min_width must be less than 0.6 times max_width")
        if not 1 <= self.trees[0] <= self.trees[1] <= 20:
            raise ValueError("trees must be two rising numbers from 1 to 20")
        if not 0 < self.contrast[0] <= self.contrast[1] < 1:
            raise ValueError("contrast must be two rising shares between 0 and 1")
        return self


class Phantom:
    """Branching vessel trees of known width and crossings, as PNG images and COCO annotations.

    Every second image is annotated by polygons, the others by run lengths (compressed and uncompressed in turn). An
    annotation is one tree, with the width of each branch under ``attributes.widths``; an image record holds the number
    of places where two trees overlap under ``crossings``. Equal options give equal bytes.
    """

    name = "phantom"

    def folder(self, root: Path | None, options: dict[str, Any]) -> Path:
        """Where the files lie, drawn first when they are not there: below `root`, or below the user's cache folder."""
        chosen = validate_options(PhantomOptions, options, "data.options.")
        described = json.dumps([DRAWING, chosen.model_dump(mode="json")], sort_keys=True)
        folder = (root or _cache()) / f"phantom-{hashlib.sha256(described.encode()).hexdigest()[:12]}"
        if not folder.exists():
            _draw_whole(folder, chosen)
        found = len(list((folder / "images").glob("*.png")))
        if found != chosen.images or not (folder / "annotations.json").is_file():
            raise UserError(f"{folder} was changed: {found} of {chosen.images} images are there", "delete that folder")
        return folder

    def read(self, root: Path | None, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield the Samples of the folder above, read like any COCO data set; UserError when it cannot be written."""
        yield from Coco().read(self.folder(root, options), {**_COCO, "images": "images"})


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vesselbench"


def _draw_whole(folder: Path, chosen: PhantomOptions) -> None:
    """Draw into a temporary folder and rename it, so that the data set is complete or absent."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UserError(
            f"cannot write below {folder.parent}: {error.strerror}", "set data.root or XDG_CACHE_HOME to a free folder"
        ) from error
    try:
        draw_data_set(temporary, chosen)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was faster, and drew the same bytes
            raise UserError(f"cannot write {folder}: {error.strerror}", "free space, or set data.root") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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
        "info": {"description": "synthetic vessel trees", "drawing": DRAWING, "options": chosen.model_dump()},
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
