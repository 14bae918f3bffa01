"""Traced outlines decode to the mask they were traced from, holes included."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vesselbench.data.converting.tracing import count_holes, trace
from vesselbench.data.masks import decode, examine_polygons
from vesselbench.types import Polygons

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14))
RING = np.pad(np.pad(np.zeros((2, 3), dtype=np.bool_), 2, constant_values=True), 1)


def pixels(traced: Polygons | None, size: tuple[int, int]) -> np.ndarray:
    return decode((traced,) if traced else (), size, "traced")


@given(MASKS)
def test_outlines_decode_to_the_mask_bit_by_bit(mask: np.ndarray) -> None:
    assert np.array_equal(pixels(trace(mask), mask.shape), mask)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_so_do_those_of_dense_and_sparse_noise(seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((23, 31)) < share
    assert np.array_equal(pixels(trace(mask), mask.shape), mask)


@given(MASKS)
def test_without_holes_they_are_filled_and_nothing_is_lost(mask: np.ndarray) -> None:
    filled = pixels(trace(mask, holes=False), mask.shape)
    assert (filled >= mask).all()
    assert count_holes(mask) or np.array_equal(filled, mask)


@given(MASKS, st.floats(0.1, 3))
def test_simplified_outlines_are_legal_and_near(mask: np.ndarray, tolerance: float) -> None:
    traced = trace(mask, tolerance=tolerance)
    if traced is not None:
        decode((traced,), mask.shape, "traced")
        exact = trace(mask)
        assert sum(map(len, traced.parts)) <= sum(map(len, exact.parts))


def test_a_simplified_disc_has_fewer_points_and_almost_its_pixels() -> None:
    y, x = np.mgrid[:80, :80]
    disc = (x - 40) ** 2 + (y - 40) ** 2 < 30**2
    simple, exact = trace(disc, tolerance=1.0), trace(disc)
    assert len(simple.parts[0]) < len(exact.parts[0]) / 4
    drawn = pixels(simple, disc.shape)
    assert 2 * (drawn & disc).sum() / (drawn.sum() + disc.sum()) > 0.97


def test_a_ring_is_one_outline_with_a_slit() -> None:
    traced = trace(RING)
    assert len(traced.parts) == 1
    assert len(traced.parts[0]) == 2 * 10  # 8 corners, and where the slit leaves and meets the outer side
    assert np.array_equal(pixels(traced, RING.shape), RING)
    assert (count_holes(RING), count_holes(pixels(trace(RING, holes=False), RING.shape))) == (1, 0)


def test_pixels_that_touch_at_a_corner_share_an_outline() -> None:
    mask = np.eye(3, dtype=np.bool_)
    assert len(trace(mask).parts) == 1
    assert np.array_equal(pixels(trace(mask), mask.shape), mask)


def test_a_hole_closed_by_corners_only_is_a_hole() -> None:
    diamond = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=np.bool_)
    assert count_holes(diamond) == 1
    assert np.array_equal(pixels(trace(diamond), diamond.shape), diamond)
    assert pixels(trace(diamond, holes=False), diamond.shape).sum() == 5


def test_slits_are_not_reported_as_crossings(caplog: pytest.LogCaptureFixture) -> None:
    examine_polygons(trace(RING), "ring", RING.shape)
    assert caplog.text == ""


def test_an_empty_mask_has_no_outline() -> None:
    assert trace(np.zeros((3, 4), dtype=np.bool_)) is None


def test_background_at_the_rim_is_no_hole() -> None:
    assert count_holes(np.array([[1, 0, 1], [1, 1, 1]], dtype=np.bool_)) == 0


def test_thousands_of_holes_take_seconds_at_most() -> None:
    mask = np.random.default_rng(0).random((256, 256)) < 0.8
    begin = time.perf_counter()
    traced = trace(mask)
    assert time.perf_counter() - begin < 10
    assert np.array_equal(pixels(traced, mask.shape), mask)
