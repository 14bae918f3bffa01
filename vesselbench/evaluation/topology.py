"""Metrics of connectedness: what a thin vessel weighs as much in as a wide one."""

from __future__ import annotations

from vesselbench.evaluation.metrics import Better, PairMetric
from vesselbench.evaluation.pair import MaskPair
from vesselbench.evaluation.policy import Kind


class TopologyPrecision(PairMetric):
    """Topology precision |S(P)∩R| / |S(P)|, in [0,1]: share of the predicted centre lines that lie on a vessel.

    S is the skeleton of the mask inside the field of view: Zhang and Suen 1984, as skimage.morphology.skeletonize
    (method "zhang") draws it, of both masks in the position described in `vesselbench.evaluation.pair`. Source: Shit et
    al., CVPR 2021, eq. 1.
    """

    name = "topology_precision"
    better: Better = "higher"
    version = 1
    kind: Kind = "overlap"

    def measure(self, pair: MaskPair) -> float | None:
        return pair.topology[0]


class TopologySensitivity(PairMetric):
    """Topology sensitivity |S(R)∩P| / |S(R)|, in [0,1]: share of the vessels' centre lines that are predicted.

    Skeleton and source as for topology_precision (eq. 2 there).
    """

    name = "topology_sensitivity"
    better: Better = "higher"
    version = 1
    kind: Kind = "overlap"

    def measure(self, pair: MaskPair) -> float | None:
        return pair.topology[1]


class ClDice(PairMetric):
    """Centreline Dice, in [0,1]: harmonic mean of topology precision and topology sensitivity.

    Skeleton as for topology_precision: another skeletoniser gives other values. Source: Shit et al., "clDice: a novel
    topology-preserving loss function for tubular structure segmentation", CVPR 2021, section 3.1.
    """

    name = "cldice"
    better: Better = "higher"
    version = 2
    kind: Kind = "overlap"

    def measure(self, pair: MaskPair) -> float | None:
        precision, sensitivity = pair.topology
        return 2 * precision * sensitivity / (precision + sensitivity) if precision + sensitivity else 0.0


class Betti0Error(PairMetric):
    """|b0(P) - b0(R)|, 0 or more: difference in the number of components (8-connected) of the whole image.

    Too many components are broken vessels or specks, too few are lost or bridged ones; the two can cancel. An empty
    mask has none. Source of the two numbers: Hu et al., NeurIPS 2019, who average over patches instead.
    """

    name = "betti0_error"
    better: Better = "lower"
    version = 1
    kind: Kind = "none"

    def measure(self, pair: MaskPair) -> float | None:
        return float(abs(pair.betti[0] - pair.reference.betti[0]))


class Betti1Error(PairMetric):
    """|b1(P) - b1(R)|, 0 or more: difference in the number of holes, as loops of vessels enclose them.

    A hole is a 4-connected part of the background, of the whole image, that does not reach its border; outside the
    field of view is background. Source as for betti0_error.
    """

    name = "betti1_error"
    better: Better = "lower"
    version = 1
    kind: Kind = "none"

    def measure(self, pair: MaskPair) -> float | None:
        return float(abs(pair.betti[1] - pair.reference.betti[1]))
