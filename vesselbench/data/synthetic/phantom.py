"""The built-in data set: synthetic angiograms with known vessels, written as real files into a cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vesselbench.data.folders import cached_folder, user_cache
from vesselbench.data.formats.coco import Coco
from vesselbench.data.synthetic.phantom_options import PhantomOptions
from vesselbench.errors import UserError
from vesselbench.recipes import validate_options
from vesselbench.types import Sample

log = logging.getLogger(__name__)
DRAWING = 1
"""Version of the drawing: raise it with every change of a pixel or a point, so that old caches are not used."""
_COCO = {"group_key": "patient", "categories": ["vessel"], "prompts": {"vessel": "blood vessel"}}


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
        folder = (root or user_cache()) / f"phantom-{hashlib.sha256(described.encode()).hexdigest()[:12]}"
        if not folder.exists():
            _draw_whole(folder, chosen)
        found = len(list((folder / "images").glob("*.png")))
        if found != chosen.images or not (folder / "annotations.json").is_file():
            raise UserError(f"{folder} was changed: {found} of {chosen.images} images are there", "delete that folder")
        return folder

    def read(self, root: Path | None, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield the Samples of the folder above, read like any COCO data set; UserError when it cannot be written."""
        yield from Coco().read(self.folder(root, options), {**_COCO, "images": "images"})


def _draw_whole(folder: Path, chosen: PhantomOptions) -> None:
    """Draw into a temporary folder and rename it, so that the data set is complete or absent."""
    from vesselbench.data.synthetic.phantom_files import (
        draw_data_set,  # imports scipy, 0.3 s that only drawing is worth
    )

    with cached_folder(folder, "free space, or set data.root or XDG_CACHE_HOME to another folder") as draft:
        log.info("drawing %d synthetic images into %s (once)", chosen.images, folder)
        draw_data_set(draft, chosen)
        draft.chmod(0o755)
