"""The part of a large image that is shown once more holds the errors."""

from __future__ import annotations

import numpy as np
import pytest

from vesselbench.report.crop import PART, find_window


def test_a_small_image_is_shown_whole():
    assert find_window([np.ones((600, 640), bool)], (600, 640)) is None


@pytest.mark.parametrize(("row", "column"), [(0, 0), (959, 998), (500, 20), (333, 777)])
def test_the_part_holds_the_error_wherever_it_is(row, column):
    wrong = np.zeros((960, 999), bool)
    wrong[row, column] = True
    window = find_window([np.zeros_like(wrong), wrong], wrong.shape)
    assert wrong[window.slices].any()
    assert wrong[window.slices].shape == (PART, PART)


def test_a_narrow_image_gives_a_narrow_part():
    window = find_window([np.ones((100, 2000), bool)], (100, 2000))
    assert (window.bottom - window.top, window.right - window.left) == (100, PART)
    assert (window.top, window.left) == (0, 0)
