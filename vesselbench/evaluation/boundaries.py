"""Metrics of the distance between boundaries."""

from __future__ import annotations

import numpy as np

from vesselbench.evaluation.metrics import Better, PairMetric
from vesselbench.evaluation.pair import MaskPair
from vesselbench.evaluation.policy import Kind


class Hausdorff95(PairMetric):
    """Hausdorff distance, 95th percentile, in pixels or millimetres (evaluation.options.unit).

    The larger of the two 95th percentiles (linear interpolation) of the distances from every boundary pixel of one mask
    to the nearest of the other, the definition of monai.metrics.compute_hausdorff_distance(percentile=95); tools that
    pool both directions first report less. Boundary: pixels with one of four neighbours outside the mask; the borders
    of image and field of view cut a vessel and make boundary there. MONAI gives NaN or 0 where a mask is empty; here
    one empty mask costs the image diagonal. Definitions differ between tools: Podobnik and Vrtovec, arXiv 2410.02630.
    """

    name = "hd95"
    better: Better = "lower"
    version = 1
    kind: Kind = "distance"

    def measure(self, pair: MaskPair) -> float | None:
        return float(max(np.percentile(distances, 95) for distances in pair.distances))


class SurfaceDice(PairMetric):
    """Normalised surface Dice, in [0,1]: share of both boundaries that lies within a tolerance of the other.

    Tolerance: evaluation.options.tolerance, in pixels or millimetres, inclusive. Boundary as in hd95, each pixel
    counting alike: the definition of monai.metrics.compute_surface_dice(use_subvoxels=False), after Nikolov et al.,
    arXiv 1809.04430.
    """

    name = "nsd"
    better: Better = "higher"
    version = 1
    kind: Kind = "overlap"

    def measure(self, pair: MaskPair) -> float | None:
        distances = np.concatenate(pair.distances)
        return float(np.count_nonzero(distances <= self.options.tolerance) / distances.size)
