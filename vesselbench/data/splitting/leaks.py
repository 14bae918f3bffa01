"""What stands on two sides of a split: groups, image files, pixels, and images that look the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.fft import dctn

from vesselbench.errors import UserError
from vesselbench.types import Sample, SetName, Split

Kind = Literal["group", "bytes", "pixels", "near"]
WORDS: dict[Kind, str] = {
    "group": "samples of one group",
    "bytes": "equal image files",
    "pixels": "images of equal pixels",
    "near": "images that look the same",
}
SIDE = 32
BAND = (4, 20)
"""Radii of the frequencies that are hashed, in half-cycles per image: lower ones are light and the shape of the field,
which all images of one camera share; higher ones are noise."""
NEAR = 0.15
"""Share of differing bits up to which two images look the same. Measured: unrelated images differ by 0.35 and more
(angiograms, phantoms), fundus images of different children by 0.19 and more; an image and its copy as strong JPEG, at
half the size, lighter, with another gamma or with noise by 0.12 and less."""
_SHOWN = 5
_BLOCK = 1024


@dataclass(frozen=True)
class Look:
    """What is compared of one image: SHA-256 of its file and of its pixels, and its perceptual hash, if it has one."""

    file: str
    pixels: str
    bits: npt.NDArray[np.bool_] | None


@dataclass(frozen=True)
class Leak:
    """Two samples in two sets that should not be apart; `distance` is the share of differing bits of `near`."""

    kind: Kind
    a: str
    b: str
    sets: tuple[SetName, SetName]
    distance: float | None = None

    def __str__(self) -> str:
        apart = "" if self.distance is None else f", {self.distance:.0%} of the hash differs"
        return f"{self.a} ({self.sets[0]}) and {self.b} ({self.sets[1]}){apart}"


def look_at_image(image: npt.NDArray[np.uint8], file: str) -> Look:
    """What is compared of an image, uint8 [H,W,3], whose file has the SHA-256 `file`."""
    pixels = hashlib.sha256(f"{image.shape}".encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
    return Look(file, pixels, perceptual_hash(image))


def perceptual_hash(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_] | None:
    """Signs of the middle frequencies of an image uint8 [H,W,3], shrunk to 32 x 32 grey values; None when it is flat.

    It hardly changes with compression, size, light and noise; it does change with crops, shifts by more than a
    hundredth of the image, rotations and flips, which are not found. Source: the pHash of Zauner 2010, of other
    frequencies and without the median.
    """
    grey = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    values = np.asarray(grey, dtype=np.float32)
    if np.ptp(values) == 0:
        return None
    bits: npt.NDArray[np.bool_] = dctn(values, norm="ortho")[_BAND_MASK] > 0
    return bits


def find_leaks(samples: Sequence[Sample], split: Split, looks: Mapping[Path, Look]) -> list[Leak]:
    """What stands in two sets: one pair per group, per image file and per pixels, for every two sets that share it.

    Near-duplicates: one pair per sample, with the most alike of another set and another group. What is equal is not
    listed again as alike. `looks` by image path. Samples that are in no set are not looked at.
    """
    by_id = {sample.id: sample for sample in samples}
    members = [(by_id[sample_id], set_name) for set_name, ids in split.sets.items() for sample_id in ids]
    leaks = _pairs("group", [(sample, name, sample.group) for sample, name in members])
    leaks += _pairs("bytes", [(sample, name, looks[sample.image].file) for sample, name in members])
    pixels = _pairs("pixels", [(sample, name, looks[sample.image].pixels) for sample, name in members])
    files = {sample.id: looks[sample.image].file for sample, _ in members}
    leaks += [leak for leak in pixels if files[leak.a] != files[leak.b]]
    return leaks + list(_near(members, looks))


def summarise_leaks(leaks: Sequence[Leak]) -> list[str]:
    """One line per kind that occurs, with counts and sets but without names: fit for every report."""
    lines = []
    for kind, words in WORDS.items():
        held = [leak for leak in leaks if leak.kind == kind]
        if held:
            sides = sorted({" and ".join(sorted(leak.sets)) for leak in held})
            pairs = "1 pair" if len(held) == 1 else f"{len(held)} pairs"
            lines.append(f"{pairs} of {words} across sets ({'; '.join(sides)})")
    return lines


def refuse_found(leaks: Sequence[Leak]) -> None:
    """Raise UserError when there are any, with counts and the first of each kind."""
    if not leaks:
        return
    firsts = [str(next(leak for leak in leaks if leak.kind == kind)) for kind in WORDS if _has(leaks, kind)]
    raise UserError(
        f"the split leaks: {'; '.join(summarise_leaks(leaks))}; for example {'; '.join(firsts[:_SHOWN])}",
        "put them into one group (data.group, data.groups), remove the copies, or set data.allow_leak=true, which "
        "every report shows; `vesselbench data split --leaks` lists all",
    )


def leak_records(leaks: Sequence[Leak]) -> list[dict[str, Any]]:
    """The leaks as plain JSON values."""
    return [
        {"kind": leak.kind, "a": leak.a, "b": leak.b, "sets": list(leak.sets), "distance": leak.distance}
        for leak in leaks
    ]


def _has(leaks: Sequence[Leak], kind: Kind) -> bool:
    return any(leak.kind == kind for leak in leaks)


def _pairs(kind: Kind, held: Sequence[tuple[Sample, SetName, str]]) -> list[Leak]:
    """Per value that stands in several sets: the first sample of each set beside the first of each other set."""
    firsts: dict[str, dict[SetName, Sample]] = {}
    for sample, set_name, value in held:
        firsts.setdefault(value, {}).setdefault(set_name, sample)
    return [
        Leak(kind, found[one].id, found[other].id, (one, other))
        for found in firsts.values()
        for one, other in combinations(found, 2)
    ]


def _near(members: Sequence[tuple[Sample, SetName]], looks: Mapping[Path, Look]) -> Iterator[Leak]:
    """Each sample beside the one most like it, where at most `NEAR` of the bits differ; compared in blocks."""
    held = [(sample, name, bits) for sample, name in members if (bits := looks[sample.image].bits) is not None]
    if not held:
        return
    signs = np.array([bits for _, _, bits in held], np.float32) * 2 - 1
    sides = np.array([name for _, name, _ in held])
    groups = np.array([sample.group for sample, _, _ in held])
    pixels = np.array([looks[sample.image].pixels for sample, _, _ in held])
    told: set[frozenset[str]] = set()
    for start in range(0, len(held), _BLOCK):
        rows = slice(start, start + _BLOCK)
        distance = (1 - signs[rows] @ signs.T / signs.shape[1]) / 2
        alike = (sides[rows, None] == sides) | (groups[rows, None] == groups) | (pixels[rows, None] == pixels)
        distance[alike] = 1
        nearest = distance.argmin(1)
        for row in np.flatnonzero(distance[np.arange(len(nearest)), nearest] <= NEAR):
            (one, name, _), (other, other_name, _) = held[start + int(row)], held[int(nearest[row])]
            if (pair := frozenset((one.id, other.id))) not in told:
                told.add(pair)
                yield Leak("near", one.id, other.id, (name, other_name), round(float(distance[row].min()), 4))


def _band_mask() -> npt.NDArray[np.bool_]:
    squares = np.arange(SIDE) ** 2
    radius = np.sqrt(np.add.outer(squares, squares))
    mask: npt.NDArray[np.bool_] = (radius >= BAND[0]) & (radius < BAND[1])
    return mask


_BAND_MASK = _band_mask()
