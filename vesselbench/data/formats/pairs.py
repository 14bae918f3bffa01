"""Images and mask images, paired by file name."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vesselbench.data.findings import Fault, refuse_each
from vesselbench.data.formats import fields
from vesselbench.data.formats.listing import files_by_stem, place_of, some
from vesselbench.data.formats.targets import MaskTargets
from vesselbench.recipes import validate_options
from vesselbench.types import MaskFile, Sample

log = logging.getLogger(__name__)


class PairsOptions(MaskTargets):
    """Options of the format ``pairs``. A place is a folder below data.root, or a pattern with ``{stem}``."""

    images: str = "images"
    """Folder of the images, or a pattern such as images/{stem}.jpg."""
    masks: str = "masks"
    """Folder of the masks (equal stems), or a pattern such as masks/{stem}_1stHO.png."""
    fov: str | None = None
    """Folder or pattern of field-of-view masks; every image needs one."""
    observer2: str | None = None
    """Folder or pattern of a second observer's masks; images may lack one."""


class Pairs:
    """One Sample per (image, target); an image without a mask, or a mask without an image, is an error.

    The id of a sample is the stem, with ``:target`` behind it when `values` names several.
    """

    name = "pairs"

    def read(self, root: Path, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield Samples sorted by stem. Raises Fault naming up to 5 unpaired files."""
        chosen = validate_options(PairsOptions, options, "data.options.")
        targets = chosen.targets()
        fields.refuse_equal_prompts({target: prompt for target, (prompt, _) in targets.items()})
        images = files_by_stem(root, chosen.images, "data.options.images")
        if not images:
            reason = f"no images in {root / chosen.images}"
            raise Fault("no-samples", "", reason, "check data.root and data.options.images")
        masks = _partners(root, chosen.masks, images, "masks")
        fov = _partners(root, chosen.fov, images, "fov")
        observer2 = _partners(root, chosen.observer2, images, "observer2", partial=True)
        for stem, image in images.items():
            if stem not in masks or (chosen.fov is not None and stem not in fov):
                continue  # found and reported by _partners
            for target, (prompt, counting) in targets.items():
                yield Sample(
                    id=stem + (f":{target}" if len(targets) > 1 else ""),
                    image=image,
                    mask=MaskFile(masks[stem], counting),
                    target=target,
                    prompt=prompt,
                    fov=MaskFile(fov[stem]) if stem in fov else None,
                    observer2=MaskFile(observer2[stem], counting) if stem in observer2 else None,
                    origin=str(place_of(masks[stem], root)),
                )


def _partners(
    root: Path, place: str | None, images: Mapping[str, Path], option: str, partial: bool = False
) -> dict[str, Path]:
    """The files at `place` by stem; Fault when they do not pair up with the images."""
    if place is None:
        return {}
    found = files_by_stem(root, place, f"data.options.{option}")
    lonely, surplus = images.keys() - found.keys(), found.keys() - images.keys()
    pattern = "write a pattern with {stem} into data.options"
    if surplus:
        refuse_each(
            "annotation-without-image",
            [place_of(found[stem], root) for stem in sorted(surplus)],
            "it belongs to no image",
            f"add the images, or {pattern}.images and data.options.{option}",
            f"{len(surplus)} of {len(found)} files in {root / place} belong to no image: {some(surplus)}",
        )
    if lonely and not partial:
        refuse_each(
            "image-without-annotation",
            [place_of(images[stem], root) for stem in sorted(lonely)],
            f"no file of this stem in {root / place}",
            f"add the files, or {pattern}.{option}",
            f"{len(lonely)} of {len(images)} images have no file in {root / place}: {some(lonely)}",
        )
    if lonely and partial:
        log.info("%d of %d images have no file in %s", len(lonely), len(images), root / place)
    return found
