"""The resizing of masks and logits as matrices: what a grid can show, found without any model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.sparse import csr_array

from vesselbench.grids import Grids
from vesselbench.types import BoolMask, Size

Values = npt.NDArray[np.float32]
STEPS = 100
"""Iterations of the fit at most; on retinal vessels it ends by itself before (measured)."""


@dataclass(frozen=True)
class Enlargement:
    """A separable linear map from a grid to an image: `rows` [H,h] and `columns` [W,w]."""

    rows: Any
    columns: Any

    @property
    def grid(self) -> Size:
        return (int(self.rows.shape[1]), int(self.columns.shape[1]))

    def __call__(self, values: Values) -> Values:
        """Values [h,w] on the grid to [H,W]."""
        enlarged: Values = (self.columns @ (self.rows @ values).T).T
        return enlarged

    def back(self, values: Values) -> Values:
        """The transposed map, [H,W] to [h,w]: gradients with respect to the grid."""
        gathered: Values = (self.columns.T @ (self.rows.T @ values).T).T
        return gathered


def bilinear(source: int, target: int) -> Any:
    """Matrix [target, source] of bilinear resizing by pixel centres, without anti-aliasing (torch's interpolate)."""
    place = np.maximum((np.arange(target) + 0.5) * source / target - 0.5, 0)
    low = np.minimum(place.astype(int), source - 1)
    high = np.minimum(low + 1, source - 1)
    share = place - low
    index = np.arange(target)
    values = np.concatenate([1 - share, share]).astype(np.float32)
    places = (np.concatenate([index, index]), np.concatenate([low, high]))
    return csr_array((values, places), shape=(target, source))


def nearest(mask: BoolMask, size: Size) -> BoolMask:
    """Nearest-neighbour resizing as torch's interpolate does it: cell i reads pixel floor(i x source / target)."""
    rows, columns = (np.arange(new) * old // new for old, new in zip(mask.shape, size, strict=True))
    return mask[np.ix_(rows, columns)]


def from_output(grids: Grids, size: Size) -> Enlargement:
    """From the logits' grid over the canvas, without the padding, to the image."""
    return Enlargement(
        *(
            bilinear(kept, full) @ bilinear(cells, whole)[:kept]
            for cells, whole, kept, full in zip(grids.output, grids.canvas, grids.input, size, strict=True)
        )
    )


def from_input(grids: Grids, size: Size) -> Enlargement:
    """From the resized image to the image."""
    return Enlargement(*(bilinear(kept, full) for kept, full in zip(grids.input, size, strict=True)))


def loses_nothing(enlargement: Enlargement) -> bool:
    """Whether the grid is at least as fine as the image on both axes."""
    return all(matrix.shape[1] >= matrix.shape[0] for matrix in (enlargement.rows, enlargement.columns))


def best_fit(mask: BoolMask, enlargement: Enlargement) -> BoolMask:
    """The best mask bool [H,W] that logits on the grid can draw, found by descent from the mask's cell means.

    What is minimised is what the models minimise, cross-entropy plus soft Dice loss, by L-BFGS on the logits; the
    enlarged logits are cut where Dice is highest (adding a constant to the grid moves the cut to 0). A lower bound of
    the true optimum, which is a combinatorial problem.
    The mask itself where the grid is at least as fine as the image.
    """
    if loses_nothing(enlargement) or not mask.any() or mask.all():
        return mask
    wanted = mask.astype(np.float32)
    total = float(wanted.sum())

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        logits = enlargement(flat.astype(np.float32).reshape(enlargement.grid))
        size = np.exp(-np.abs(logits))
        entropy = np.maximum(logits, 0) - logits * wanted + np.log1p(size)
        shown = np.where(logits >= 0, 1, size) / (1 + size)
        hit, drawn = float((shown * wanted).sum()), float(shown.sum())
        dice = 2 * hit / (drawn + total)
        slope = (shown - wanted) / total - (2 * wanted - dice) / (drawn + total) * shown * (1 - shown)
        value = float(entropy.sum()) / total + 1 - dice
        return value, enlargement.back(slope.astype(np.float32)).astype(np.float64).ravel()

    start = _cell_means(wanted, enlargement) * 8 - 3
    start += np.random.default_rng(0).normal(0, 0.1, start.shape)  # symmetric masks have a saddle point
    found = minimize(loss, start.astype(np.float64).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    logits = enlargement(found.x.astype(np.float32).reshape(enlargement.grid))
    drawn: BoolMask = logits >= best_cut(logits, mask)
    return drawn


def best_cut(values: Values, mask: BoolMask) -> float:
    """The threshold at which values [H,W] have the highest Dice with a mask that is not empty."""
    order = np.argsort(values, axis=None)[::-1]
    sorted_values, hits = values.ravel()[order], np.cumsum(mask.ravel()[order])
    dice = 2 * hits / (np.arange(1, values.size + 1) + hits[-1])
    last_of_equal = np.append(sorted_values[:-1] != sorted_values[1:], True)
    return float(sorted_values[np.argmax(np.where(last_of_equal, dice, -1))])


def fit_of_target(mask: BoolMask, grids: Grids, enlargement: Enlargement) -> BoolMask:
    """What a perfect fit to the shrunk mask draws, bool [H,W]: its two values as logits, enlarged, cut at 0.

    The padding beside the target continues its edge: the loss never looks there.
    """
    assert grids.target is not None, "without a target grid the loss reads the mask itself"
    shrunk = nearest(mask, grids.target).astype(np.float32) * 2 - 1
    missing = [(0, cells - used) for cells, used in zip(grids.output, grids.target, strict=True)]
    drawn: BoolMask = enlargement(np.pad(shrunk, missing, mode="edge")) > 0
    return drawn


def _cell_means(values: Values, enlargement: Enlargement) -> Values:
    """Mean over the pixels that a cell reaches, weighted as it reaches them; 0 for cells that reach none."""
    weight = enlargement.back(np.ones_like(values))
    means: Values = np.divide(enlargement.back(values), weight, out=np.zeros_like(weight), where=weight > 1e-6)
    return means
