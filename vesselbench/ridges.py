"""Where a grey image has ridges: Frangi's filter, as models without training and the ladder use it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vesselbench.types import BoolMask

BRIGHTEST = 99.0
"""Percentile of the response that counts as 1."""


def ridge_response(
    grey: npt.NDArray[np.float32], fov: BoolMask | None, sigmas: Sequence[float], dark: bool
) -> npt.NDArray[np.float32]:
    """Square root of the response to ridges, float32 [H,W] in [0,1], of a grey image float32 [H,W] in [0,1].

    Frangi et al. 1998 with scikit-image's default weights, at scales of `sigmas` pixels, for `dark` or bright ridges.
    Outside the field of view the filter sees its nearest pixel. The `BRIGHTEST`th percentile inside counts as 1. The
    root, because most responses are so weak that thresholds on them, in steps of 0.05, would be too coarse.
    """
    from scipy.ndimage import distance_transform_edt
    from skimage.filters import frangi

    if fov is not None:
        nearest = distance_transform_edt(~fov, return_distances=False, return_indices=True)
        grey = grey[tuple(nearest)].astype(np.float32, copy=False)
    found = frangi(grey, sigmas=sigmas, black_ridges=dark)
    top = np.percentile(found if fov is None else found[fov], BRIGHTEST)
    if not top > 0:
        return np.zeros(grey.shape, np.float32)
    scaled: npt.NDArray[np.float32] = np.sqrt(np.clip(found / top, 0, 1)).astype(np.float32)
    return scaled
