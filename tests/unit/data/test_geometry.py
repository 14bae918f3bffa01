"""Outlines against brute force in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesselbench.data import geometry

GRID = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=12)
SQUARE = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
EIGHT = np.array([[0.0, 0.0], [4.0, 4.0], [4.0, 0.0], [0.0, 4.0]])


def side(a: tuple, b: tuple, c: tuple) -> int:
    turn = Fraction(b[0] - a[0]) * (c[1] - a[1]) - Fraction(b[1] - a[1]) * (c[0] - a[0])
    return (turn > 0) - (turn < 0)


def crossings(points: list[tuple[int, int]]) -> set[tuple[int, int]]:
    edges = [(points[i], points[(i + 1) % len(points)]) for i in range(len(points))]
    return {
        (i, j)
        for (i, (a, b)), (j, (c, d)) in combinations(enumerate(edges), 2)
        if side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
    }


@settings(max_examples=400)
@given(GRID, st.sampled_from([1.0, 2.0**-6, 2.0**23]), st.sampled_from([0.0, -777.5, 2.0**20]))
def test_a_crossing_is_found_exactly_when_there_is_one(points: list, scale: float, shift: float) -> None:
    """Scales and shifts that no coordinate is rounded by: a point that touches a line still does."""
    expected = crossings(points)
    found = geometry.first_crossing(np.array(points, dtype=float) * scale + shift)
    assert (found is None) == (not expected)
    assert found is None or found in expected


def test_touching_outlines_do_not_cross() -> None:
    pinched = np.array([[0, 0], [4, 4], [8, 0], [8, 8], [4, 4], [0, 8]], dtype=float)
    spike = np.array([[0, 0], [4, 0], [8, 0], [4, 0], [4, 4]], dtype=float)
    repeated = np.repeat(SQUARE, 2, axis=0)
    for outline in (SQUARE, pinched, spike, repeated):
        assert geometry.first_crossing(outline) is None
    assert geometry.first_crossing(EIGHT) == (0, 2)


@settings(deadline=5000)
@given(st.integers(1000, 20_000))
def test_long_outlines_are_searched_in_little_time(count: int) -> None:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert geometry.first_crossing(circle) is None
    circle[[10, 500]] = circle[[500, 10]]
    assert geometry.first_crossing(circle) is not None


def test_a_search_that_would_take_too_long_says_so() -> None:
    rungs = np.arange(4000.0)[:, None] * [1e-3, -1e-3]  # long diagonals side by side: all overlap on both axes
    outline = np.stack([rungs, rungs + 1e3], axis=1)
    outline[1::2] = outline[1::2, ::-1]
    with pytest.raises(geometry.TooManyPairsError):
        geometry.first_crossing(outline.reshape(-1, 2))
    assert geometry.first_crossing(outline[:100].reshape(-1, 2)) is None


@given(GRID)
def test_the_area_is_that_of_the_shoelace(points: list) -> None:
    total = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, points[1:] + points[:1], strict=True))
    assert geometry.area(np.array(points, dtype=float)) == pytest.approx(abs(total) / 2, abs=1e-9)


def test_what_encloses_nothing_is_told_from_what_cancels() -> None:
    line = np.array([[0, 0], [5, 5], [9, 9], [2, 2]], dtype=float)
    back = np.array([[0, 0], [4, 0], [4, 4], [4, 0]], dtype=float)
    assert geometry.encloses_nothing(line)
    assert geometry.encloses_nothing(back)
    assert geometry.encloses_nothing(np.full((5, 2), 3.0))
    assert geometry.area(EIGHT) == 0
    assert not geometry.encloses_nothing(EIGHT)
    assert not geometry.encloses_nothing(SQUARE)
    assert not geometry.encloses_nothing(SQUARE * 1e-3 + 1e6)


def test_points_outside_are_counted_beyond_one_pixel() -> None:
    points = np.array([[0, 0], [20.9, 5], [21.1, 5], [-0.9, 3], [-1.1, 3], [5, 11.1]])
    assert geometry.points_outside(points, (10, 20)) == 3


@pytest.mark.parametrize(("shift", "missing"), [((20, 0), True), ((19, 0), False), ((-4, 0), True), ((0, 10), True)])
def test_an_outline_misses_an_image_when_they_share_no_area(shift: tuple[int, int], missing: bool) -> None:
    assert geometry.misses(SQUARE + shift, (10, 20)) == missing


def test_the_length_of_an_outline_is_what_a_rasteriser_walks() -> None:
    assert geometry.outline_length(SQUARE) == 16
    assert geometry.outline_length(EIGHT) == 16
