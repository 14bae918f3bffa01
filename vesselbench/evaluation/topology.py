"""Scores of connectedness: what a thin vessel weighs as much in as a wide one. scikit-image is imported when called."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from vesselbench.types import BoolMask, Example, Prediction


class ClDice:
    """Centreline Dice in [0,1]: harmonic mean of topology precision |S(P)∩R|/|S(P)| and sensitivity |S(R)∩P|/|S(R)|.

    S is the skeleton (Zhang and Suen 1984, as scikit-image draws it) of the mask inside the field of view. Thinning
    prefers some directions: precision and sensitivity are means over the eight ways to turn and mirror the two masks,
    so that a turned image scores the same. Both empty: 1. Source: Shit et al., "clDice: a novel topology-preserving
    loss function for tubular structure segmentation", CVPR 2021, section 3.1.
    """

    name: str = "cldice"
    better: Literal["higher", "lower"] = "higher"
    version: int = 1
    kind: Literal["overlap", "distance", "none"] = "overlap"

    def __call__(self, prediction: Prediction, example: Example) -> float | None:
        """The value of one image; ValueError when the example has no mask or the sizes differ."""
        if example.mask is None:
            raise ValueError(f"sample {example.sample.id!r} has no mask")
        predicted, reference = prediction.mask(), example.mask
        if predicted.shape != reference.shape:
            raise ValueError(f"prediction {predicted.shape} against mask {reference.shape} of {example.sample.id!r}")
        if example.fov is not None:
            predicted, reference = predicted & example.fov, reference & example.fov
        return cl_dice(predicted, reference)


def cl_dice(predicted: BoolMask, reference: BoolMask) -> float:
    """The value for two masks [H,W], neither of them empty."""
    precision, sensitivity = _covered(predicted, reference), _covered(reference, predicted)
    return 2 * precision * sensitivity / (precision + sensitivity) if precision + sensitivity else 0.0


def _covered(mask: BoolMask, other: BoolMask) -> float:
    """Share of the centre lines of `mask` that `other` covers, the mean over the eight ways to turn and mirror both."""
    shares = []
    for turns in range(4):
        turned, under = np.rot90(mask, turns), np.rot90(other, turns)
        shares += [under[skeleton(turned)].mean(), under.T[skeleton(turned.T)].mean()]
    return math.fsum(shares) / 8


def skeleton(mask: BoolMask) -> BoolMask:
    """Centre lines [H,W], one pixel wide, of a mask that is not empty."""
    from skimage.morphology import skeletonize

    thin: BoolMask = skeletonize(np.ascontiguousarray(mask)).astype(np.bool_)
    return thin
