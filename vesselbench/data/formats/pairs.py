"""Images and mask images, paired by file name."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vesselbench.config import Settings
from vesselbench.data.formats.listing import files_by_stem, some
from vesselbench.errors import UserError
from vesselbench.recipes import validate_options
from vesselbench.types import MaskFile, Sample

log = logging.getLogger(__name__)


class PairsOptions(Settings):
    """Options of the format ``pairs``. A place is a folder below data.root, or a pattern with ``{stem}``."""

    images: str = "images"
    """Folder of the images, or a pattern such as images/{stem}.jpg."""
    masks: str = "masks"
    """Folder of the masks (equal stems), or a pattern such as masks/{stem}_1stHO.png."""
    fov: str | None = None
    """Folder or pattern of field-of-view masks; every image needs one."""
    observer2: str | None = None
    """Folder or pattern of a second observer's masks; images may lack one."""
    target: str = "vessel"
    """Name of what the masks show."""
    prompt: str = "blood vessel"
    """The phrase a language model is given for it."""
    foreground: list[int] | None = None
    """Values of a mask that count as foreground; None: the larger of two."""


class Pairs:
    """One Sample per image; an image without a mask, or a mask without an image, is an error."""

    name = "pairs"

    def read(self, root: Path, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield Samples sorted by stem, which is their id. Raises UserError naming up to 5 unpaired files."""
        chosen = validate_options(PairsOptions, options, "data.options.")
        images = files_by_stem(root, chosen.images, "data.options.images")
        if not images:
            raise UserError(f"no images in {root / chosen.images}", "check data.root and data.options.images")
        masks = _partners(root, chosen.masks, images, "masks")
        fov = _partners(root, chosen.fov, images, "fov")
        observer2 = _partners(root, chosen.observer2, images, "observer2", partial=True)
        counting = tuple(chosen.foreground) if chosen.foreground is not None else None
        for stem, image in images.items():
            yield Sample(
                id=stem,
                image=image,
                mask=MaskFile(masks[stem], counting),
                target=chosen.target,
                prompt=chosen.prompt,
                fov=MaskFile(fov[stem]) if stem in fov else None,
                observer2=MaskFile(observer2[stem], counting) if stem in observer2 else None,
                origin=str(masks[stem].relative_to(root)),
            )


def _partners(
    root: Path, place: str | None, images: Mapping[str, Path], option: str, partial: bool = False
) -> dict[str, Path]:
    """The files at `place` by stem; UserError when they do not pair up with the images."""
    if place is None:
        return {}
    found = files_by_stem(root, place, f"data.options.{option}")
    lonely, surplus = images.keys() - found.keys(), found.keys() - images.keys()
    if surplus:
        raise UserError(
            f"{len(surplus)} of {len(found)} files in {root / place} belong to no image: {some(surplus)}",
            f"add the images, or write a pattern with {{stem}} into data.options.images and data.options.{option}",
        )
    if lonely and not partial:
        raise UserError(
            f"{len(lonely)} of {len(images)} images have no file in {root / place}: {some(lonely)}",
            f"add the files, or write a pattern with {{stem}} into data.options.{option}",
        )
    if lonely:
        log.info("%d of %d images have no file in %s", len(lonely), len(images), root / place)
    return found
