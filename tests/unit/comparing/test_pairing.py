"""The four judgements."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesselbench.comparing.pairing import judge, pair_all
from vesselbench.statistics.paired import LEVEL, Interval, least_p


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 0.2), st.floats(0, 1), st.floats(-1, 1))
def test_judging_the_other_way_round_exchanges_better_and_worse_only(low, width, margin, p, shift):
    forth = judge(Interval(low, low + width), p, shift, "higher", margin)
    back = judge(Interval(-low - width, -low), p, -shift, "higher", margin)
    assert back == {"better": "worse", "worse": "better"}.get(forth, forth)
    assert judge(Interval(low, low + width), p, shift, "lower", margin) == back


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
    assert judge(Interval(low, high), 0.01, (low + high) / 2, "higher", 0.01) == expected


@pytest.mark.parametrize(("p", "shift"), [(0.05, 0.03), (0.01, -0.03), (0.01, 0.0)])
def test_an_interval_beside_zero_decides_nothing_without_a_test_that_says_the_same(p, shift):
    assert judge(Interval(0.02, 0.04), p, shift, "higher", 0.01) == "inconclusive"
    assert judge(Interval(0.002, 0.004), p, shift, "higher", 0.01) == "equivalent"


@given(st.integers(1, 12), st.integers(2, 4))
@settings(max_examples=25, deadline=None)
def test_too_few_groups_are_never_told_apart_and_enough_always_are_when_all_say_the_same(groups, models):
    sides = [Side(f"m{n}", [0.5 + 0.1 * n + 0.001 * g for g in range(groups)]) for n in range(models)]
    names = [str(g) for g in range(groups)]
    pairs = pair_all(sides, names, {"dice": "primary", "iou": "exploratory"}, 0.01)
    expected = "worse" if len(pairs) * least_p(groups) < LEVEL else "inconclusive"
    assert {pair.metrics["dice"].judgement for pair in pairs} == {expected}


class Side:
    """As much of a contender as pairing asks for."""

    directions = {"dice": "higher", "iou": "higher"}  # noqa: RUF012

    def __init__(self, label, values):
        self.label, self._values = label, values

    def values(self, metric):
        return self._values


VALUES = st.sampled_from([None, 0.0, 0.5, 0.5, 0.7, 1.0])
TABLES = st.integers(1, 9).flatmap(
    lambda images: st.tuples(
        st.lists(st.lists(VALUES, min_size=images, max_size=images), min_size=2, max_size=3),
        st.lists(st.sampled_from("abcd"), min_size=images, max_size=images),
    )
)


@given(TABLES, st.sampled_from([0.0, 0.01, 1.0]))
@settings(max_examples=60, deadline=None)
def test_whatever_the_scores_are_every_number_is_finite_or_absent_with_a_judgement_in_words(table, margin):
    values, groups = table
    sides = [Side(f"m{number}", row) for number, row in enumerate(values)]
    for pair in pair_all(sides, groups, {"dice": "primary", "iou": "exploratory"}, margin):
        json.dumps(asdict(pair), allow_nan=False)
        paired = pair.metrics["dice"]
        assert paired.judgement in ("better", "worse", "equivalent", "inconclusive")
        assert pair.metrics["iou"].judgement is None
        if paired.interval.low is None:
            assert paired.interval.reason
            assert paired.judgement == "inconclusive"
        if paired.groups == 1:
            assert paired.test.note == "one group always gives a p of 1"
        if paired.images and paired.detectable.difference is None:
            assert paired.detectable.reason


def test_differences_of_rounding_are_no_advantage():
    sides = [Side("a", [0.5 + 1e-12] * 6), Side("b", [0.5] * 6)]
    (pair,) = pair_all(sides, list("abcdef"), {"dice": "primary", "iou": "secondary"}, 0.0)
    assert [paired.judgement for paired in pair.metrics.values()] == ["equivalent", "equivalent"]


def test_equal_scores_are_equivalent_with_a_p_of_one():
    (pair,) = pair_all(
        [Side("a", [0.5] * 6), Side("b", [0.5] * 6)], list("abcdef"), dict.fromkeys(["dice", "iou"], "primary"), 0
    )
    paired = pair.metrics["dice"]
    assert (paired.judgement, paired.p_adjusted, paired.test.p, paired.within_margin) == ("equivalent", 1.0, 1.0, 1.0)
