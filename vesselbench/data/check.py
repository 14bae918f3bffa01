"""Every sample loaded and looked at once, before a training depends on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vesselbench.data.read import load_example
from vesselbench.errors import UserError
from vesselbench.types import Example, Sample


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a data set: what, where, why it matters, what mends it."""

    code: str
    """unreadable, no-annotation, empty-mask, full-mask, flat-image or outside-fov."""
    severity: Literal["error", "warning"]
    where: str
    reason: str
    cure: str


def check_samples(samples: Sequence[Sample]) -> list[Finding]:
    """Load every sample; errors are what stops a training, warnings what may be meant. Nothing is raised or mended."""
    findings: list[Finding] = []
    for sample in samples:
        try:
            example = load_example(sample)
        except UserError as error:
            findings.append(Finding("unreadable", "error", sample.id, error.message, error.hint))
            continue
        findings += _look(example)
    return findings


def _look(example: Example) -> list[Finding]:
    sample = example.sample
    where = f"{sample.id} ({sample.origin})" if sample.origin else sample.id
    found: list[Finding] = []
    if int(np.ptp(example.image)) == 0:
        value = int(example.image.flat[0])
        found.append(Finding("flat-image", "warning", where, f"every pixel is {value}", "look at the image"))
    if example.mask is None:
        found.append(Finding("no-annotation", "error", where, "nothing to learn or score", "annotate or remove it"))
    elif not example.mask.any():
        found.append(Finding("empty-mask", "warning", where, f"no pixel is {sample.target!r}", "fine if meant"))
    elif example.mask.all():
        found.append(Finding("full-mask", "warning", where, f"every pixel is {sample.target!r}", "look at the mask"))
    elif example.fov is not None and (outside := int((example.mask & ~example.fov).sum())):
        found.append(
            Finding("outside-fov", "warning", where, f"{outside} pixels lie outside the field of view", "look at both")
        )
    return found
