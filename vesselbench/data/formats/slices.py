"""Slices of NIfTI or DICOM files, read by MONAI and kept as PNG files in a cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from vesselbench.data.findings import Fault
from vesselbench.data.folders import cached_folder, user_cache
from vesselbench.data.formats import fields
from vesselbench.data.formats.listing import place_of, some
from vesselbench.data.formats.targets import MaskTargets
from vesselbench.errors import UserError
from vesselbench.recipes import validate_options
from vesselbench.types import MaskFile, Sample

log = logging.getLogger(__name__)
VERSION = 1
"""Of what is written: raise it when a slice would come out otherwise, so that old caches are not used."""
VOLUMES = (".nii.gz", ".nii", ".dcm")


class SlicesOptions(MaskTargets):
    """Options of the format ``slices``."""

    images: str = "images"
    """Folder of the NIfTI (.nii, .nii.gz) or DICOM (.dcm) files below data.root; sub-folders count."""
    masks: str = "masks"
    """Folder of the masks: NIfTI or DICOM files of equal stems, with as many slices."""
    axis: int = Field(2, ge=0, le=2)
    """Axis of a NIfTI volume along which it is cut. The frames of a DICOM file are its slices."""
    window: tuple[float, float] | None = None
    """Values shown as black and white, in units of the file (HU, say); None: least and greatest of each volume."""
    cache: Path | None = None
    """Folder for the slices; None: the user's cache folder. They are as confidential as the volumes."""

    @model_validator(mode="after")
    def _window_is_open(self) -> SlicesOptions:
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError("window must be two rising numbers")
        return self


class Slices:
    """One Sample per (slice of a NIfTI volume or DICOM file, target); the group is DICOM's PatientID, else the volume.

    Slices are written once as 8-bit PNG (masks as 16-bit) into a cache folder that is named by the options and by
    names, sizes and times of the files. Needs the extra ``nifti`` or ``dicom``.
    """

    name = "slices"

    def folder(self, root: Path | None, options: dict[str, Any]) -> Path:
        """Where the slices lie, written first when they are not there."""
        chosen = validate_options(SlicesOptions, options, "data.options.")
        if root is None:
            raise UserError("the format 'slices' needs a folder", "set data.root=FOLDER")
        if not root.is_dir():
            raise UserError(f"data.root: {root} is not a folder", "check the path (it is relative to where you start)")
        images, masks = (_volumes(root, place) for place in (chosen.images, chosen.masks))
        _refuse_unpaired(root, images, masks)
        folder = (chosen.cache or user_cache()) / f"slices-{_key(chosen, [*images.values(), *masks.values()])}"
        if not (folder / "slices.json").is_file():
            pairs = {stem: (path, masks[stem]) for stem, path in images.items()}
            _write_whole(folder, root, pairs, chosen)
            if not (folder / "slices.json").is_file():
                raise UserError(f"{folder} was changed: it lacks slices.json", "delete that folder")
        return folder

    def read(self, root: Path | None, options: dict[str, Any]) -> Iterator[Sample]:
        """Yield Samples volume by volume; Fault names a volume that cannot be read or does not fit its mask."""
        chosen = validate_options(SlicesOptions, options, "data.options.")
        folder = self.folder(root, options)
        targets = chosen.targets()
        fields.refuse_equal_prompts({target: prompt for target, (prompt, _) in targets.items()})
        for record in json.loads((folder / "slices.json").read_text(encoding="utf-8")):
            for target, (prompt, counting) in targets.items():
                yield Sample(
                    id=record["id"] + (f":{target}" if len(targets) > 1 else ""),
                    image=folder / "images" / f"{record['id']}.png",
                    mask=MaskFile(folder / "masks" / f"{record['id']}.png", counting),
                    target=target,
                    prompt=prompt,
                    group=record["group"],
                    spacing=tuple(record["spacing"]) if record["spacing"] else None,
                    origin=record["origin"],
                )


def _volumes(root: Path, place: str) -> dict[str, Path]:
    folder = root / place
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", "check data.root, data.options.images and data.options.masks")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        ending = next((suffix for suffix in VOLUMES if path.name.lower().endswith(suffix)), None)
        if ending is None or path.name.startswith(".") or not path.is_file():
            continue
        stem = path.relative_to(folder).as_posix()[: -len(ending)]
        if stem in found:
            reason = f"{found[stem]} and {path} have the same stem {stem!r}"
            raise Fault("name-collision", place_of(path, root), reason, "rename or remove one of them")
        found[stem] = path
    return found


def _refuse_unpaired(root: Path, images: dict[str, Path], masks: dict[str, Path]) -> None:
    if not images:
        raise UserError(f"no NIfTI or DICOM files in {root}", "check data.root and data.options.images")
    for code, ours, others, kind in (
        ("image-without-annotation", images, masks, "mask"),
        ("annotation-without-image", masks, images, "image"),
    ):
        if lonely := ours.keys() - others.keys():
            reason = f"{len(lonely)} of {len(ours)} files have no {kind}: {some(lonely)}"
            place = place_of(ours[min(lonely)], root)
            raise Fault(code, place, reason, "add the files, or take these out")


def _key(chosen: SlicesOptions, files: list[Path]) -> str:
    stamps = [(path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    cut = chosen.model_dump(mode="json", include={"images", "masks", "axis", "window"})
    described = json.dumps([VERSION, cut, stamps], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:12]


def _write_whole(folder: Path, root: Path, pairs: dict[str, tuple[Path, Path]], chosen: SlicesOptions) -> None:
    """Write into a temporary folder and rename it, so that the slices are complete or absent."""
    from vesselbench.data.formats.volumes import write_slices  # imports MONAI, and so torch

    with cached_folder(folder, "free space, or set data.options.cache to another folder") as draft:
        log.info("cutting %d volumes into slices below %s (once)", len(pairs), folder)
        records = [
            record
            for stem, (image, mask) in pairs.items()
            for record in write_slices(draft, stem, image, mask, root, chosen.axis, chosen.window)
        ]
        (draft / "slices.json").write_text(json.dumps(records), encoding="utf-8")
