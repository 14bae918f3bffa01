"""The four judgements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.pairing import judge
from vesselbench.statistics.paired import Interval


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 0.2))
def test_judging_the_other_way_round_exchanges_better_and_worse_only(low, width, margin):
    forth = judge(Interval(low, low + width), "higher", margin)
    back = judge(Interval(-low - width, -low), "higher", margin)
    assert back == {"better": "worse", "worse": "better"}.get(forth, forth)
    assert judge(Interval(low, low + width), "lower", margin) == back


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.002, 0.009, "equivalent"),
        (-0.01, 0.01, "equivalent"),
        (0.002, 0.02, "better"),
        (-0.02, -0.002, "worse"),
        (-0.002, 0.02, "inconclusive"),
        (0.0, 0.02, "inconclusive"),
    ],
)
def test_the_four_judgements(low, high, expected):
    assert judge(Interval(low, high), "higher", 0.01) == expected
