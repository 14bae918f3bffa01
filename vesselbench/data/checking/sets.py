"""What is odd about a data set as a whole: what its images and masks do not have in common."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median

from vesselbench.data.checking.images import ImageFacts
from vesselbench.data.checking.masks import MaskFacts
from vesselbench.data.findings import Finding, Place, found
from vesselbench.data.formats.listing import place_of, some
from vesselbench.data.mask_files import spelt, values_in
from vesselbench.data.read import files_of
from vesselbench.types import MaskFile, Sample, Size

COMMON = 0.9
"""Share of the images from which on a size is the usual one, and any other an outlier."""
TIMES = 16
"""Without a usual size: an outlier has so many times more, or fewer, pixels than the median image."""
RARE = 0.005
"""Share of foreground pixels below which a target is hardly there."""


def mixed_modes(images: Sequence[ImageFacts]) -> Iterator[Finding]:
    """One finding that counts the kinds of images and names those of the rarest."""
    kinds = Counter(image.kind for image in images)
    if len(kinds) < 2:
        return
    rarest = min(kinds, key=lambda kind: kinds[kind])
    files = [image.place.file for image in images if image.kind == rarest]
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    reason = f"{listed}; the {rarest} ones: {some(files)}"
    cure = "fine if meant; a model may learn the difference instead of the vessels"
    yield found("mixed-modes", Place(sorted(files)[0]), reason, cure)


def size_outliers(images: Sequence[ImageFacts]) -> Iterator[Finding]:
    """An image unlike the usual size (one that 90 % have); without one, 16 times off the median number of pixels."""
    if len(images) < 3:
        return
    sizes = Counter(image.size for image in images)
    usual, count = sizes.most_common(1)[0]
    middle = median(_pixels(image.size) for image in images)
    for image in images:
        pixels = _pixels(image.size)
        if count >= COMMON * len(images):
            odd, others = image.size != usual, f"{count} of {len(images)} images are {_sides(usual)}"
        else:
            odd = not middle / TIMES <= pixels <= middle * TIMES
            others = f"the median image has {middle:.0f} pixels, this one {pixels}"
        if odd:
            reason = f"{_sides(image.size)} (height x width); {others}"
            yield found("size-outlier", image.place, reason, "look whether it belongs to this data set")


def class_imbalance(masks: Sequence[MaskFacts]) -> Iterator[Finding]:
    """A finding for each target that less than 0.5 % of all counted pixels belong to, though it occurs."""
    for target in dict.fromkeys(mask.target for mask in masks):
        members = [mask for mask in masks if mask.target == target]
        foreground, pixels = sum(mask.foreground for mask in members), sum(mask.pixels for mask in members)
        if not 0 < foreground < RARE * pixels:
            continue
        present = sum(mask.foreground > 0 for mask in members)
        reason = f"{foreground / pixels:.3%} of the pixels are {target!r}; it is in {present} of {len(members)} masks"
        cure = "train on crops (train.augment.crop), and expect accuracy to say nothing"
        yield found("class-imbalance", "", reason, cure)


def unmapped_values(samples: Iterable[Sample]) -> Iterator[Finding]:
    """Values that stand in the masks and that no target names, with the number of masks; 0 is background.

    Masks must be readable. Says nothing where no foreground is named.
    """
    named: dict[Path, set[float]] = {}
    masks: dict[Path, MaskFile] = {}
    for sample in samples:
        if isinstance(sample.mask, MaskFile) and sample.mask.foreground is not None:
            named.setdefault(sample.mask.path, set()).update(map(float, sample.mask.foreground))
            masks[sample.mask.path] = sample.mask
    counts = Counter(value for path, mask in masks.items() for value in values_in(mask) - named[path] if value)
    for value, count in sorted(counts.items()):
        reason = f"{spelt(value)} stands in {count} of {len(masks)} masks and belongs to no target"
        yield found("unmapped-value", Place("", "data.options"), reason, "fine if it is background; else name it")


def twin_names(samples: Iterable[Sample], root: Path) -> Iterator[Finding]:
    """File names, below `root`, that are one where a file system folds case or Unicode forms."""
    first: dict[str, str] = {}
    for file in dict.fromkeys(place_of(path, root).file for sample in samples for path in files_of(sample)):
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", file).casefold())
        other = first.setdefault(key, file)
        if other != file:
            reason = f"the name differs from {other!r} in case or Unicode form only"
            yield found("twin-names", Place(file), reason, "rename one: copied to another system, one of them is lost")


def _pixels(size: Size) -> int:
    return size[0] * size[1]


def _sides(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
