"""The fingerprint of a data set: what was trained and scored on, as one hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from vesselbench.data.images import image_size
from vesselbench.data.masks import decode, mask_sha256
from vesselbench.errors import UserError
from vesselbench.rundir import file_sha256
from vesselbench.types import BoolMask, Sample


class FingerprintLines:
    """Collects samples with their decoded masks, in any order; an image file is read once."""

    def __init__(self) -> None:
        self._images: dict[Path, str] = {}
        self._lines: list[str] = []
        self._pixels: dict[str, str] = {}

    def add(self, sample: Sample, mask: BoolMask | None, fov: BoolMask | None) -> None:
        """Add one sample; mask and fov: bool [H,W]. UserError when its image file cannot be read."""
        masks = ["none" if plane is None else mask_sha256(plane) for plane in (mask, fov)]
        image = self.image_sha256(sample.image)
        self._lines.append(repr((sample.id, sample.target, sample.group, image, *masks)))
        self._pixels[sample.id] = repr((sample.id, image, masks[0]))

    def image_sha256(self, path: Path) -> str:
        """SHA-256 of an image file's bytes, read once; UserError when it cannot be read."""
        if path not in self._images:
            self._images[path] = _image_sha256(path)
        return self._images[path]

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of ids, targets, groups, image bytes, decoded masks and fields of view."""
        return hashlib.sha256("\n".join(sorted(self._lines)).encode()).hexdigest()

    def digest_of(self, ids: Iterable[str]) -> str:
        """SHA-256 of ids, image bytes and decoded masks of some of the samples: what a test set is known by.

        Neither the groups nor the rest of the data count, so it stays the same test set when only these change.
        """
        return hashlib.sha256("\n".join(sorted(self._pixels[name] for name in ids)).encode()).hexdigest()


def fingerprint(samples: Sequence[Sample]) -> str:
    """`FingerprintLines.digest` of the samples; images are not decoded. UserError for a malformed mask."""
    lines = FingerprintLines()
    for sample in samples:
        planes = [
            None if mask is None else decode(mask, image_size(sample.image), where)
            for mask, where in ((sample.mask, sample.origin or sample.id), (sample.fov, f"{sample.id} fov"))
        ]
        lines.add(sample, *planes)
    return lines.digest()


def vessel_fraction(sample: Sample) -> float:
    """Share of the pixels in the field of view that are vessel, in [0,1]; UserError for a malformed mask."""
    size = image_size(sample.image)
    if sample.mask is None:
        return 0.0
    fov = None if sample.fov is None else decode(sample.fov, size, f"{sample.id} fov")
    return fraction_of(decode(sample.mask, size, sample.origin or sample.id), fov)


def fraction_of(mask: BoolMask | None, fov: BoolMask | None) -> float:
    """Share of vessel in a decoded mask, bool [H,W], inside the field of view; 0 without a mask or an empty field."""
    if mask is None or (fov is not None and not fov.any()):
        return 0.0
    return float((mask if fov is None else mask[fov]).mean())


def _image_sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise UserError(
            f"image {path} cannot be read: {error.strerror or error}", "check its permissions, or copy it again"
        ) from None
