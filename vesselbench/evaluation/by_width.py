"""Metrics per width of vessel: what a score over the whole image hides of its thinnest vessels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

from vesselbench.config import MetricOptions
from vesselbench.evaluation.metrics import DEFAULTS, Better, PairMetric
from vesselbench.evaluation.pair import MaskPair
from vesselbench.evaluation.policy import Kind


class ByWidth(PairMetric):
    """The mean over the bins of width that the reference has; a bin alone when `bin` says which.

    The reference's width is measured on its centre line and every pixel belongs to the zone of the nearest piece of
    centre line (`vesselbench.data.limits.widths`), so a false pixel counts with the vessel it lies beside. Both masks
    are those inside the field of view.
    """

    field: str
    """Of `vesselbench.data.limits.widths.Overlap`."""

    def __init__(self, options: MetricOptions = DEFAULTS, bin: int | None = None) -> None:
        super().__init__(options)
        self.bin = bin
        self.family = type(self).name
        if bin is not None:
            self.name = f"{self.family.removesuffix('_by_width')}@{bin_tags(options)[bin]}"
            self.absence = "the reference has no vessel of this width"

    absence = "the reference has no vessel"

    def configured(self, options: MetricOptions) -> tuple[PairMetric, ...]:
        kind = type(self)
        return (kind(options), *(kind(options, number) for number in range(len(options.width_edges) + 1)))

    def measure(self, pair: MaskPair) -> float | None:
        known = [float(getattr(one, self.field)) for one in self._chosen(pair) if one is not None]
        return fmean(known) if known else None

    def _chosen(self, pair: MaskPair) -> Sequence[object]:
        return pair.by_width if self.bin is None else [pair.by_width[self.bin]]


class RecallByWidth(ByWidth):
    """Share of the reference's pixels that are predicted, in [0,1], within a zone of vessel width.

    The name alone is the mean over the widths that the image has, each weighing alike; recall@2-3px is one of them.
    Edges and unit: evaluation.options. No value where the reference has no vessel of the width. Nothing predicted: 0.
    """

    name = "recall_by_width"
    better: Better = "higher"
    version = 1
    kind: Kind = "none"
    field = "recall"


class PrecisionByWidth(ByWidth):
    """Share of the predicted pixels that are vessel, in [0,1], within a zone of vessel width.

    Zones, names and absence as for recall_by_width. Nothing predicted in the zone: 0.
    """

    name = "precision_by_width"
    better: Better = "higher"
    version = 1
    kind: Kind = "none"
    field = "precision"


class ClDiceByWidth(ByWidth):
    """Centreline Dice, in [0,1], of the centre lines within a zone of vessel width.

    Zones, names and absence as for recall_by_width, skeleton as for cldice. No predicted line in the zone: 0.
    """

    name = "cldice_by_width"
    better: Better = "higher"
    version = 1
    kind: Kind = "none"
    field = "cldice"


def bin_tags(options: MetricOptions) -> list[str]:
    """Short names of the bins, from thin to wide: 0-2px, ..., 9px+."""
    ends = [0.0, *options.width_edges]
    between = [f"{low:g}-{high:g}{options.unit}" for low, high in pairwise(ends)]
    return [*between, f"{ends[-1]:g}{options.unit}+"]
