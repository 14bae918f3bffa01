"""Vessels that a model's own grids would lose, measured on a few images of the data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vesselbench.data.findings import Finding, found
from vesselbench.data.limits.ceiling import Stating, evenly, measure_ceiling, recommend
from vesselbench.data.limits.widths import bin_names
from vesselbench.data.read import load_example
from vesselbench.types import Sample

MEASURED = 12
"""Images that are looked at, evenly spread."""
LOST = 0.9
"""A width is lost when neither its best Dice nor its best clDice reaches more than this."""


def thin_structures(samples: Sequence[Sample], grids_of: Stating) -> Iterator[Finding]:
    """One finding when some width of vessel is beyond the model's grids, as `vesselbench data ceiling` measures it.

    Samples must be readable; those without a vessel are passed over.
    """
    chosen = [sample for sample in evenly(samples, MEASURED) if _has_vessel(sample)]
    if not chosen:
        return
    ceiling = measure_ceiling(chosen, "", grids_of)
    last = ceiling.stages()[-1]
    means = [(name, ceiling.mean(last, number)) for number, name in enumerate(bin_names())]
    poor = [f"{name} {mean[0]:.2f} / {mean[1]:.2f}" for name, mean in means if mean and max(mean[:2]) <= LOST]
    if poor:
        reason = f"best Dice / clDice on {len(chosen)} images by vessel width: {', '.join(poor)}"
        yield found("thin-structures", "", reason, recommend(ceiling))


def _has_vessel(sample: Sample) -> bool:
    example = load_example(sample)
    return example.mask is not None and bool(
        (example.mask if example.fov is None else example.mask & example.fov).any()
    )
