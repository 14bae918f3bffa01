"""clDice on masks whose value is known, and its properties on any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vesselbench.evaluation.topology import ClDice
from vesselbench.types import Example, Prediction, Sample


def bar(top: int, bottom: int, left: int = 4, right: int = 60, size: tuple[int, int] = (40, 64)) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def value(predicted: np.ndarray, reference: np.ndarray, fov: np.ndarray | None = None) -> float | None:
    example = Example(Sample("a", Path("a.png"), None), np.zeros((*reference.shape, 3), np.uint8), reference, fov)
    return ClDice()(Prediction("a", predicted.astype(np.float32)), example)


def test_a_vessel_of_another_width_scores_full_where_dice_does_not():
    thin, wide = bar(18, 21), bar(14, 25)
    assert value(wide, thin) == pytest.approx(1, abs=0.05)
    assert 2 * (thin & wide).sum() / (thin.sum() + wide.sum()) < 0.5


def test_a_gap_costs_its_share_of_the_centre_line():
    whole, broken = bar(18, 21), bar(18, 21)
    broken[:, 25:39] = False
    precision, sensitivity = 1.0, 1 - 14 / 56
    assert value(broken, whole) == pytest.approx(2 * precision * sensitivity / (precision + sensitivity), abs=0.02)


def test_masks_apart_score_zero_and_outside_the_field_of_view_nothing_counts():
    assert value(bar(2, 5), bar(30, 33)) == 0
    view = np.zeros((40, 64), bool)
    view[:24] = True
    reference = bar(18, 21) | bar(30, 33)
    assert value(bar(18, 21), reference, view) == 1
    assert value(bar(18, 21), reference) < 0.8


def test_sizes_that_differ_and_absent_masks_are_refused():
    with pytest.raises(ValueError, match="against mask"):
        value(bar(1, 3), bar(1, 3, size=(50, 64)))
    bare = Example(Sample("a", Path("a.png"), None), np.zeros((4, 4, 3), np.uint8), None)
    with pytest.raises(ValueError, match="no mask"):
        ClDice()(Prediction("a", np.ones((4, 4), np.float32)), bare)
