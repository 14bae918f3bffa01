"""What a conversion cost, measured: the copy is read like any data set and held against the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vesselbench.data.converting.names import Names
from vesselbench.data.converting.tracing import holes_of
from vesselbench.data.formats.fields import phrase_key
from vesselbench.data.images import image_size, read_image
from vesselbench.data.masks import decode
from vesselbench.errors import UserError
from vesselbench.types import BoolMask, Mask, Sample, Size


@dataclass(frozen=True)
class Loss:
    """Of one mask. `id`: in the copy. `pixels`: foreground of the source. `dice`: of source and copy, 1 if both empty.

    `lost`, `gained`: pixels; `holes`: of the source, `holes_lost`: those of which no pixel is background any more.
    """

    id: str
    pixels: int
    lost: int
    gained: int
    holes: int
    holes_lost: int
    dice: float

    @property
    def exact(self) -> bool:
        """Whether every pixel is what it was."""
        return self.lost == self.gained == 0


@dataclass(frozen=True)
class Losses:
    """Per mask, and what the format has no place for: kind -> number of samples."""

    masks: tuple[Loss, ...]
    unheld: dict[str, int]


def measure_losses(
    originals: Sequence[Sample],
    copies: Sequence[Sample],
    names: Names,
    grouped: bool,
    redrawn: Collection[Path],
    done: Callable[[int], None],
) -> Losses:
    """Compare sample by sample; `done` is told how many are through. `grouped`: whether the source has groups;
    `redrawn`: images whose files were not copied byte by byte.

    Raises UserError when a sample is missing from the copy or has come into it, and Fault as `masks.decode`.
    """
    pairs = _paired(originals, copies, names)
    unheld: Counter[str] = Counter()
    masks = []
    for number, (original, copy) in enumerate(pairs, 1):
        size = image_size(original.image)
        source, written = _plane(original.mask, size, original.id), _plane(copy.mask, size, copy.id)
        assert source is not None
        assert written is not None
        masks.append(compare_masks(copy.id, source, written))
        unheld.update(_unheld(original, copy, names, grouped, size))
        if original.image in redrawn and not np.array_equal(read_image(original.image), read_image(copy.image)):
            unheld["pixels of the image"] += 1
        done(number)
    return Losses(tuple(masks), dict(sorted(unheld.items())))


def compare_masks(sample_id: str, source: BoolMask, written: BoolMask) -> Loss:
    """Count what differs between two masks, bool [H,W] of one size."""
    both = int((source & written).sum())
    total = int(source.sum()) + int(written.sum())
    labels, holes = holes_of(source)
    still = np.unique(labels[~written])
    return Loss(
        id=sample_id,
        pixels=int(source.sum()),
        lost=int((source & ~written).sum()),
        gained=int((written & ~source).sum()),
        holes=len(holes),
        holes_lost=len(set(holes) - set(still.tolist())),
        dice=2 * both / total if total else 1.0,
    )


def _paired(originals: Sequence[Sample], copies: Sequence[Sample], names: Names) -> list[tuple[Sample, Sample]]:
    """Each source sample with its copy, by the image's new name and the phrase."""
    found = {(_stem(copy), phrase_key(copy.prompt)): copy for copy in copies}
    pairs = []
    for original in originals:
        key = (names.stems[original.image], phrase_key(original.prompt))
        if key not in found:
            raise UserError(
                f"sample {original.id!r} cannot be read from the copy", "write coco, which holds every mask"
            )
        pairs.append((original, found.pop(key)))
    if found:
        raise UserError(f"the copy has samples that the source has not: {sorted(found)[0]}", "write coco")
    return pairs


def _stem(copy: Sample) -> str:
    return copy.id.removesuffix(f":{copy.target}")


def _plane(mask: Mask | None, size: Size, where: str) -> BoolMask | None:
    return None if mask is None else decode(mask, size, where)


def _unheld(original: Sample, copy: Sample, names: Names, grouped: bool, size: Size) -> list[str]:
    """Kinds of what the copy of a sample lacks; a plane counts as lacking unless it is equal in every pixel."""
    lacking = []
    for kind, ours, theirs in (
        ("field of view", original.fov, copy.fov),
        ("second observer", original.observer2, copy.observer2),
    ):
        source, written = _plane(ours, size, original.id), _plane(theirs, size, copy.id)
        if source is not None and (written is None or not np.array_equal(source, written)):
            lacking.append(kind)
    if original.spacing is not None and copy.spacing != original.spacing:
        lacking.append("pixel spacing")
    if grouped and copy.group != names.groups[original.group]:
        lacking.append("group")
    if copy.target != original.target:
        lacking.append("name of the target")
    if copy.prompt != original.prompt:
        lacking.append("spelling of the prompt")
    return lacking
