"""What is found by looking around a place is what brute force finds; boundaries and rims are those of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import binary_dilation, binary_erosion
from scipy.spatial.distance import cdist

from vesselbench.data.limits.nearest import REACH, boundary_of, distances_to, places_of, rim_of

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(st.data(), st.sampled_from([(1.0, 1.0), (0.3, 0.7)]))
def test_distances_are_those_of_brute_force_near_and_far(data, spacing):
    shape = data.draw(SHAPES)
    spots = st.lists(st.tuples(*(st.integers(0, side - 1) for side in shape)), min_size=1, max_size=12)
    mask = np.zeros(shape, bool)
    mask[tuple(np.array(data.draw(spots)).T)] = True
    places = np.array(data.draw(spots))
    expected = cdist(places * np.array(spacing), np.argwhere(mask) * np.array(spacing)).min(axis=1)
    assert distances_to(mask, places, spacing) == pytest.approx(expected, abs=1e-12)


def test_the_last_ring_and_the_first_place_beyond_it_are_measured():
    mask = np.zeros((3, 60), bool)
    mask[1, 0] = True
    places = np.array([(1, column) for column in range(60)])
    assert np.array_equal(distances_to(mask, places), np.arange(60.0))
    assert REACH < 59
    assert distances_to(mask, places[:0]).shape == (0,)


@given(SHAPES.flatmap(lambda shape: arrays.arrays(np.bool_, shape)))
def test_places_boundaries_and_rims_are_those_of_numpy_and_scipy(mask):
    assert np.array_equal(places_of(mask), np.argwhere(mask))
    assert np.array_equal(boundary_of(mask), mask & ~binary_erosion(mask))
    assert np.array_equal(rim_of(mask), binary_dilation(mask) & ~mask)
