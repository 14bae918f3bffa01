from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.quantities import amount, duration, size


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (size(1010 * 2**20), "1010 MiB"),
        (size(617 * 2**20), "617 MiB"),
        (size(1.5 * 2**30), "1.5 GiB"),
        (size(0), "0 B"),
        (amount(999_600), "1000 k"),
        (amount(406_489), "406 k"),
        (duration(0.9999), "1000 ms"),
        (duration(0.126), "126 ms"),
    ],
)
def test_quantities_are_said_in_three_digits_or_four(said, expected):
    assert said == expected


@given(st.floats(1e-3, 1e12))
def test_nothing_from_a_thousandth_on_is_said_with_an_exponent(value):
    assert "e+" not in size(value) + amount(value) + duration(value)
