"""Which images a mended copy may hold as negatives: those that were negatives before, and no other."""

from __future__ import annotations

from vesselbench.data.checking.check import Check
from vesselbench.data.formats.fields import phrase_key
from vesselbench.data.formats.listing import place_of

Filled = frozenset[tuple[str, str]]
"""(image file below the root, phrase) of samples."""


def filled_in(check: Check) -> Filled:
    """The samples that have pixels, and those that lost a shape to an error and have others: they count as annotated.

    What lost all its shapes is not among them; `vesselbench.data.fixing.documents.mend_shapes` tells of it.
    """
    empty = {finding.sample for finding in check.findings if finding.code == "empty-mask"}
    return frozenset(
        (place_of(sample.image, check.root).file, phrase_key(sample.prompt))
        for sample in check.samples
        if sample.mask and sample.id not in empty
    )


def emptied(filled: Filled, copy: Check, left_out: dict[str, str]) -> dict[str, str]:
    """Images of the copy that lost the last pixel of a phrase, each with the reason to leave it out."""
    return {
        image: f"no pixel of {phrase!r} is left: it would pass for a negative"
        for image, phrase in sorted(filled - filled_in(copy))
        if image not in left_out
    }
