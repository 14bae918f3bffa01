"""Metrics of the probabilities themselves, before any threshold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vesselbench.evaluation.metrics import Better, PairMetric
from vesselbench.evaluation.pair import MaskPair
from vesselbench.evaluation.policy import Kind
from vesselbench.types import BoolMask


class Auc(PairMetric):
    """Area under the ROC curve, in [0,1]: the chance that a vessel pixel has a higher probability than another one.

    Exact over all pixels inside the field of view, equal probabilities counted half (Mann and Whitney 1947). It equals
    monai.metrics.compute_roc_auc, which walks over the pixels one by one in Python. No value where the reference is
    empty or leaves no background. Black borders raise it: give a field of view.
    """

    name = "auc"
    better: Better = "higher"
    version = 1
    kind: Kind = "none"
    absence = "the reference has pixels of one class only"
    graded = True

    def measure(self, pair: MaskPair) -> float | None:
        return area_under_curve(pair.probabilities, pair.reference.pixels)


def area_under_curve(probabilities: npt.NDArray[np.float32], vessel: BoolMask) -> float | None:
    """The area of probabilities float32 [N] against classes bool [N]; None when there is one class only."""
    positives, negatives = np.sort(probabilities[vessel]), np.sort(probabilities[~vessel])
    if not positives.size or not negatives.size:
        return None
    lower = int(np.searchsorted(negatives, positives, "left").sum())
    not_higher = int(np.searchsorted(negatives, positives, "right").sum())
    return (lower + not_higher) / (2 * positives.size * negatives.size)


class CalibrationError(PairMetric):
    """Expected calibration error of the vessel probability, in [0,1]; lower is better (Guo et al., ICML 2017, eq. 5).

    Pixels inside the field of view fall into equally wide bins of the probability, evaluation.options.calibration_bins
    of them; the mean over pixels of |mean probability - share of vessel| of their bins. The bins are those of
    monai.metrics.calibration_binning, summed in double precision. Defined for empty masks too.
    """

    name = "ece"
    better: Better = "lower"
    version = 1
    kind: Kind = "none"
    graded = True

    def measure(self, pair: MaskPair) -> float | None:
        return calibration_error(pair.calibration)


def calibration_error(sums: dict[str, list[float]]) -> float:
    """The error of sums per bin, of one image or added up over many (see `MaskPair.calibration`)."""
    count, probability, vessel = (np.asarray(sums[key]) for key in ("count", "probability", "vessel"))
    return float(np.abs(probability - vessel).sum() / count.sum())
