"""Every sample loaded and looked at once, before a training depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vesselbench.data.mask_files import values_in
from vesselbench.data.read import load_example
from vesselbench.errors import UserError
from vesselbench.types import Example, MaskFile, Sample


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a data set: what, where, why it matters, what mends it."""

    code: str
    """unreadable, no-annotation, empty-fov, absent-value, empty-mask, full-mask, flat-image or outside-fov."""
    severity: Literal["error", "warning"]
    where: str
    reason: str
    cure: str


def check_samples(samples: Sequence[Sample]) -> list[Finding]:
    """Load every sample; errors are what stops a training, warnings what may be meant. Nothing is raised or mended."""
    findings: list[Finding] = []
    readable: list[Sample] = []
    for sample in samples:
        try:
            example = load_example(sample)
        except UserError as error:
            findings.append(Finding("unreadable", "error", sample.id, error.message, error.hint))
            continue
        readable.append(sample)
        findings += look_at(example)
    if len(readable) == len(samples):  # else a value may stand in one that cannot be read
        findings += absent_values(samples)
    return findings


def look_at(example: Example) -> list[Finding]:
    """What is odd or wrong about one example; an error is what neither training nor scoring can use."""
    sample = example.sample
    where = f"{sample.id} ({sample.origin})" if sample.origin else sample.id
    found: list[Finding] = []
    if int(np.ptp(example.image)) == 0:
        value = int(example.image.flat[0])
        found.append(Finding("flat-image", "warning", where, f"every pixel is {value}", "look at the image"))
    if example.fov is not None and not example.fov.any():
        found.append(Finding("empty-fov", "error", where, "the field of view is empty", "mend that mask"))
    if example.mask is None:
        found.append(Finding("no-annotation", "error", where, "nothing to learn or score", "annotate or remove it"))
    elif not example.mask.any():
        found.append(Finding("empty-mask", "warning", where, f"no pixel is {sample.target!r}", "fine if meant"))
    elif example.mask.all():
        found.append(Finding("full-mask", "warning", where, f"every pixel is {sample.target!r}", "look at the mask"))
    elif example.fov is not None and example.fov.any() and (outside := int((example.mask & ~example.fov).sum())):
        found.append(
            Finding("outside-fov", "warning", where, f"{outside} pixels lie outside the field of view", "look at both")
        )
    return found


def absent_values(samples: Sequence[Sample]) -> list[Finding]:
    """An error when a value that was named as foreground occurs in no mask of the data set: it was mistyped.

    Mask files are read until every value has been seen. Raises UserError for one that cannot be read.
    """
    masks = [sample.mask for sample in samples if isinstance(sample.mask, MaskFile)]
    missing = {float(value) for mask in masks for value in mask.foreground or ()}
    for mask in masks:
        if not missing:
            return []
        if mask.foreground is not None:
            missing -= values_in(mask)
    if not missing:
        return []
    listed = ", ".join(f"{value:g}" for value in sorted(missing))
    return [
        Finding(
            "absent-value",
            "error",
            "foreground",
            f"{listed} occurs in none of {len(masks)} masks",
            "name values that occur (a mask of one bit a pixel has 0 and 255)",
        )
    ]
