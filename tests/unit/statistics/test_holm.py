"""Holm's correction."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.statistics.holm import holm

PS = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_the_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(PS)
def test_rejecting_by_adjusted_p_is_holms_stepwise_procedure(p_values):
    rejected, order = set(), sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, index in enumerate(order):
        if (len(p_values) - place) * p_values[index] >= 0.05:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(holm(p_values)) if p < 0.05} == rejected


@given(PS)
def test_adjusted_p_lie_between_the_p_and_bonferronis(p_values):
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, len(p_values) * p) + 1e-12


def test_none_gives_none_and_what_is_no_p_is_refused():
    assert holm([]) == []
    with pytest.raises(ValueError, match="outside"):
        holm([1.2])
