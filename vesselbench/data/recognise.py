"""Which format a folder holds, by a look at what lies in it: no image is opened, of JSON files only both ends."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselbench.data.formats.arcade import SETS
from vesselbench.data.images import SUFFIXES
from vesselbench.errors import UserError

_MOST_FILES = 20_000
_MOST_LOOKED_INTO = 40
_END = 1 << 16  # bytes read at either end of a JSON file
_SLICES = (".nii", ".nii.gz", ".dcm")
_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "photos", "jpegimages", "frames")
_MASK_FOLDERS = ("masks", "1st_manual", "manual", "labels", "label", "gt", "groundtruth", "ground_truth", "mask")
"""In this order: DRIVE's `mask` beside `1st_manual` is the field of view."""
_BESIDE = {
    "fov": ("fov", "fovs", "fov_mask", "fov_masks", "field_of_view", "mask"),
    "observer2": ("observer2", "masks_observer2", "2nd_manual", "manual2"),
}
"""Option of pairs -> folders of further masks."""


@dataclass(frozen=True)
class Recognised:
    """A format's name, the options under which it reads the folder, and what it was told by."""

    format: str
    options: dict[str, Any]
    reason: str


@dataclass
class _Contents:
    """Relative paths, by kind; folders are relative too, ``.`` is the root."""

    images: dict[str, list[str]] = field(default_factory=dict)
    jsons: list[str] = field(default_factory=list)
    slices: list[str] = field(default_factory=list)


def recognise(root: Path) -> Recognised:
    """The format of a folder, out of arcade, coco, sa2va, labelme, slices and pairs.

    Raises UserError that says what was seen when nothing fits, or more than one format does.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder", "check the path (it is relative to where you start)")
    contents = _list(root)
    found = list(_candidates(root, contents))
    if len(found) == 1:
        return found[0]
    if found:
        seen = "; ".join(f"{one.format}: {one.reason}" for one in found)
        raise UserError(
            f"{root} could be of several formats: {seen}", f"say data.format={found[0].format}, or the other"
        )
    seen = ", ".join(
        f"{count} {kind}"
        for count, kind in (
            (sum(map(len, contents.images.values())), f"images in {len(contents.images)} folders"),
            (len(contents.jsons), "JSON files"),
        )
        if count
    )
    raise UserError(
        f"the format of {root} is not to be told: it holds {seen or 'neither images nor annotations'}",
        "set data.format and data.options; docs/your-own-data.md shows how each format is laid out",
    )


def _list(root: Path) -> _Contents:
    contents, count = _Contents(), 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(folder).relative_to(root).as_posix()
        for name in sorted(names):
            count += 1
            if count > _MOST_FILES:
                return contents
            path = name if here == "." else f"{here}/{name}"
            if name.startswith("."):
                continue
            if name.lower().endswith(".json"):
                contents.jsons.append(path)
            elif name.lower().endswith(_SLICES):
                contents.slices.append(path)
            elif Path(name).suffix.lower() in SUFFIXES:
                contents.images.setdefault(here, []).append(name)
    return contents


def _candidates(root: Path, contents: _Contents) -> Iterator[Recognised]:
    arcade = [f"{task}/{name}/annotations/{name}.json" for task in ("syntax", "stenosis") for name in SETS]
    present = [path for path in arcade if path in contents.jsons]
    if present:
        task = present[0].split("/")[0]
        sets = [path.split("/")[1] for path in present if path.startswith(task)]
        yield Recognised("arcade", {"task": task, "sets": sets}, f"{present[0]} is ARCADE's layout")
        return
    kinds: dict[str, list[str]] = {}
    for path in _spread(contents.jsons):
        kinds.setdefault(_kind(root / path), []).append(path)
    if coco := kinds.get("coco"):
        named: Any = coco[0] if len(coco) == 1 else coco
        yield Recognised("coco", {"annotations": named}, f"{coco[0]} lists images, annotations or categories")
    for path in kinds.get("sa2va", []):
        options = {"annotations": path, "images": _folder_of_first(root / path, contents)}
        yield Recognised("sa2va", options, f"{path} is a list of image, mask and text")
    if labelme := kinds.get("labelme"):
        yield Recognised("labelme", _labelme(labelme[0], contents), f"{labelme[0]} holds shapes")
    if contents.slices:
        yield Recognised("slices", {}, f"{len(contents.slices)} volumes or slices, such as {contents.slices[0]}")
    pairs = None if kinds.keys() & {"coco", "sa2va", "labelme"} or contents.slices else _pairs(contents)
    if pairs is not None:
        yield pairs


def _spread(paths: list[str]) -> list[str]:
    """All of a few, else evenly spread ones: a folder of LabelMe holds thousands, and each may embed its image."""
    step = max(1, len(paths) // _MOST_LOOKED_INTO)
    return paths[::step]


def _kind(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(_END)
            file.seek(max(0, path.stat().st_size - _END))
            ends = head + file.read(_END)
    except OSError:
        return "unreadable"
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    keys = set(re.findall(rb'"(image|mask|text|shapes|images|annotations|categories)"\s*:', ends))
    if first == b"[":
        return "sa2va" if {b"image", b"mask", b"text"} <= keys else "unknown"
    if first != b"{":
        return "unknown"
    if b"shapes" in keys:
        return "labelme"
    return "coco" if len(keys & {b"images", b"annotations", b"categories"}) >= 2 else "unknown"


def _folder_of_first(path: Path, contents: _Contents) -> str:
    """The folder that holds the first image that a Sa2VA file names; ``images`` when none does."""
    with path.open("rb") as file:
        match = re.search(rb'"image"\s*:\s*("(?:[^"\\]|\\.)*")', file.read(_END))
    try:
        name = str(json.loads(match[1])) if match else ""
    except ValueError:
        return "images"
    for folder, names in contents.images.items():
        for image in names:
            whole = image if folder == "." else f"{folder}/{image}"
            if name and (whole == name or whole.endswith(f"/{name}")):
                return whole.removesuffix(name).rstrip("/") or "."
    return "images"


def _labelme(example: str, contents: _Contents) -> dict[str, Any]:
    """Where the images of a LabelMe file lie: beside it, or in another folder under the same stem."""
    own, stem = Path(example).parent.as_posix(), Path(example).stem
    holders = [folder for folder, names in contents.images.items() if stem in {Path(name).stem for name in names}]
    if own in holders or len(holders) != 1:
        return {}
    return {"images": holders[0], "annotations": own}


def _pairs(contents: _Contents) -> Recognised | None:
    """Two folders of customary names whose files pair up, by equal stems or by one pattern; and what lies beside them:
    fields of view, a second observer."""
    by_name = {folder.lower(): folder for folder in contents.images}
    images = next((by_name[name] for name in _IMAGE_FOLDERS if name in by_name), None)
    masks = next((by_name[name] for name in _MASK_FOLDERS if name in by_name), None)
    if images is None or masks is None:
        return None
    stems = {Path(name).stem: name for name in contents.images[images]}
    found = _partner(masks, contents.images[masks], stems)
    if found is None:
        return None
    place, after = found
    options, told = {"images": images, "masks": place}, [f"{images} and {masks} hold files of equal stems"]
    if after:
        told = [f"{masks}/{after[0]} is named after {images}/{after[1]}"]
    for option, names in _BESIDE.items():
        folder = next((by_name[name] for name in names if name in by_name and by_name[name] != masks), None)
        further = _partner(folder, contents.images[folder], stems) if folder is not None else None
        if folder is not None and further is not None:
            options[option] = further[0]
            told.append(f"{folder} as data.options.{option}")
    return Recognised("pairs", _one_way(options, contents, images), ", ".join(told))


def _partner(folder: str, names: list[str], stems: dict[str, str]) -> tuple[str, tuple[str, str] | None] | None:
    """Where masks of images with these stems (stem -> file) lie: the folder, or a pattern and the mask and image that
    it was told by. None when no name holds a stem."""
    if any(Path(name).stem in stems for name in names):
        return folder, None
    first = next((name for name in names if any(stem in name for stem in stems)), None)
    if first is None:
        return None
    stem = max((stem for stem in stems if stem in first), key=len)
    before, after = first.split(stem, 1)
    return f"{folder}/{before}{{stem}}{after}", (first, stems[stem])


def _one_way(options: dict[str, str], contents: _Contents, images: str) -> dict[str, Any]:
    """A pattern cuts its stems short of sub-folders and endings, so the images are then named by a pattern, too."""
    if not any("{stem}" in place for place in options.values()):
        return dict(options)
    suffixes = {Path(name).suffix for name in contents.images[images]}
    return {**options, "images": f"{images}/{{stem}}{suffixes.pop()}" if len(suffixes) == 1 else images}
