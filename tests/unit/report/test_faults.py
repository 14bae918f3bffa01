"""Missed branches and false bridges are found where they are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import skeletonize

from vesselbench.report.faults import SHORTEST, SLACK, find_faults


def masks(size=(80, 120)) -> tuple[np.ndarray, np.ndarray]:
    """Two horizontal vessels, 3 pixels wide, and a copy to change."""
    reference = np.zeros(size, bool)
    reference[20:23, 5:115] = reference[50:53, 5:115] = True
    return reference.copy(), reference


def test_the_reference_itself_has_no_fault():
    predicted, reference = masks()
    faults = find_faults(predicted, reference)
    assert (faults.missed, faults.bridges) == ((), ())
    assert faults.said() == "0 missed branches, 0 false bridges"


def test_a_gap_of_a_vessel_is_a_missed_branch_at_its_place_from_a_length_on():
    predicted, reference = masks()
    predicted[20:23, 40:70] = False
    (missed,) = find_faults(predicted, reference).missed
    assert abs(missed.place[0] - 21) <= 1
    assert 42 <= missed.place[1] <= 68
    assert missed.size == 30 - 2 * 2
    predicted, reference = masks()
    predicted[20:23, 40:50] = False
    assert find_faults(predicted, reference).missed == ()


def test_a_shift_within_the_slack_misses_nothing():
    _, reference = masks()
    assert find_faults(np.roll(reference, 3, axis=0), reference).missed == ()
    assert len(find_faults(np.roll(reference, 6, axis=0), reference).missed) == 2


def test_a_stroke_between_two_vessels_is_a_false_bridge_and_one_that_ends_is_none():
    predicted, reference = masks()
    predicted[23:50, 60:62] = True
    (bridge,) = find_faults(predicted, reference).bridges
    assert bridge.size == 27 * 2
    assert bridge.place == pytest.approx((36, 60.5))
    predicted[30:40] = False
    assert find_faults(predicted, reference).bridges == ()


def test_large_images_count_longer_pieces_only():
    predicted, reference = masks((80, 1200))
    predicted[20:23, 40:60] = False
    faults = find_faults(predicted, reference)
    assert faults.shortest == 24
    assert faults.missed == ()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.5, 1.0]), st.sampled_from([0.0, 0.1, 1.0]))
def test_any_two_masks_can_be_looked_at(seed, drawn, there):
    rng = np.random.default_rng(seed)
    predicted, reference = rng.random((33, 41)) < drawn, rng.random((33, 41)) < there
    faults = find_faults(predicted, reference)
    assert all(0 <= f.place[0] < 33 and 0 <= f.place[1] < 41 for f in (*faults.missed, *faults.bridges))
    if not predicted.any():
        assert faults.bridges == ()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.4), st.floats(0.02, 0.3))
def test_bridges_and_misses_are_those_of_a_search_piece_by_piece(seed, drawn, there):
    """The definitions taken at their word: grow every false piece by a pixel; measure every distance."""
    rng = np.random.default_rng(seed)
    predicted, reference = rng.random((37, 45)) < drawn, ndimage.binary_dilation(rng.random((37, 45)) < there / 4)
    faults, around = find_faults(predicted, reference), np.ones((3, 3))
    components, pieces = ndimage.label(reference, around)[0], ndimage.label(predicted & ~reference, around)[0]
    bridging = [
        piece
        for number in range(1, pieces.max() + 1)
        if len(np.unique(components[ndimage.binary_dilation(piece := pieces == number, around) & reference])) > 1
    ]
    found = [(bridge.size, bridge.place) for bridge in faults.bridges]
    expected = [(int(piece.sum()), tuple(np.argwhere(piece).mean(axis=0))) for piece in bridging]
    assert sorted(size for size, _ in found) == sorted(size for size, _ in expected)
    for (_, place), (_, wanted) in zip(found, sorted(expected, key=lambda one: (-one[0], one[1])), strict=True):
        assert place == pytest.approx(wanted)
    far = skeletonize(reference) & (ndimage.distance_transform_edt(~predicted) > SLACK)
    sizes = np.bincount(ndimage.label(far, around)[0].ravel())[1:]
    assert [missed.size for missed in faults.missed] == sorted(sizes[sizes >= SHORTEST], reverse=True)
