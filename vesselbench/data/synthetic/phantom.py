"""The built-in data set: synthetic angiograms with known vessels, written as real files into a cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from vesselbench.config import Settings
from vesselbench.data.formats.coco import Coco
from vesselbench.errors import UserError
from vesselbench.recipes import validate_options
from vesselbench.types import Sample

log = logging.getLogger(__name__)
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
    from vesselbench.data.synthetic.phantom_files import (
        draw_data_set,  # imports scipy, 0.3 s that only drawing is worth
    )

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UserError(
            f"cannot write below {folder.parent}: {error.strerror or error}",
            "set data.root or XDG_CACHE_HOME to a free folder",
        ) from error
    try:
        log.info("drawing %d synthetic images into %s (once)", chosen.images, folder)
        draw_data_set(temporary, chosen)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was faster, and drew the same bytes
            raise UserError(
                f"cannot write {folder}: {error.strerror or error}", "free space, or set data.root"
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
