"""The rules that mend one outline."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.data.fixing.rules import clip, mend_part
from vesselbench.data.geometry import points_outside
from vesselbench.data.masks import check_polygons, decode
from vesselbench.errors import UserError
from vesselbench.types import Polygons

SIZE = (30, 40)
SQUARE = [5.0, 5.0, 15.0, 5.0, 15.0, 15.0, 5.0, 15.0]


def test_a_sound_outline_stays_as_it_is() -> None:
    assert mend_part(SQUARE, SIZE) == mend_part(SQUARE, SIZE)
    assert (mend_part(SQUARE, SIZE).numbers, mend_part(SQUARE, SIZE).codes) == (SQUARE, ())


@pytest.mark.parametrize(
    ("numbers", "expected", "codes"),
    [
        ([3.0, 4.0], None, ("too-few-points",)),
        ([3.0, 4.0, 5.0, 6.0], None, ("too-few-points",)),
        ([], None, ("too-few-points",)),
        ([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], None, ("zero-area",)),
        ([*SQUARE, math.nan, 4.0], SQUARE, ("not-finite",)),
        ([1.0, 1.0, math.inf, 2.0, 3.0, 3.0], None, ("not-finite",)),
        (
            [20.0, 5.0, 60.0, 5.0, 60.0, 15.0, 20.0, 15.0],
            [20.0, 15.0, 20.0, 5.0, 40.0, 5.0, 40.0, 15.0],
            ("partly-outside",),
        ),
    ],
)
def test_each_fault_is_mended_by_its_rule(
    numbers: list[float], expected: list[float] | None, codes: tuple[str, ...]
) -> None:
    mended = mend_part(numbers, SIZE)
    assert mended.codes == codes
    if expected is None or mended.numbers is None:
        assert mended.numbers is expected
    else:
        assert sorted(zip(mended.numbers[::2], mended.numbers[1::2], strict=True)) == sorted(
            zip(expected[::2], expected[1::2], strict=True)
        )


@pytest.mark.parametrize(
    "numbers",
    [[1.0, 2.0, 3.0], [50.0, 5.0, 60.0, 5.0, 60.0, 9.0], [0.0, 0.0, 1e9, 0.0, 5.0, 5.0], [0, 0, 2e9, 0, 5, 5]],
)
def test_what_nobody_can_guess_stays_as_it_is(numbers: list[float]) -> None:
    assert (mend_part(numbers, SIZE).numbers, mend_part(numbers, SIZE).codes) == (numbers, ())


coordinates = st.lists(st.floats(-35, 75, width=16), min_size=6, max_size=20).map(lambda n: n[: len(n) // 2 * 2])


@given(coordinates)
def test_what_was_mended_is_sound_and_inside(numbers: list[float]) -> None:
    mended = mend_part(numbers, SIZE)
    if mended.codes and mended.numbers is not None:
        check_polygons(Polygons((tuple(mended.numbers),), SIZE), "mended")
        assert points_outside(np.array(mended.numbers).reshape(-1, 2), SIZE) == 0
        assert mend_part(mended.numbers, SIZE).codes == ()


@given(st.integers(-20, 30), st.integers(-20, 20), st.integers(5, 40), st.integers(5, 40))
def test_cutting_keeps_what_is_inside(left: int, top: int, width: int, height: int) -> None:
    box = np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]], np.float64)
    inside = clip(box, SIZE)
    try:
        whole = decode((Polygons((tuple(box.ravel()),)),), SIZE, "x")
    except UserError:  # it lies outside
        return
    if not whole.any():
        return
    assert (decode((Polygons((tuple(inside.ravel()),)),), SIZE, "x") == whole).all()
