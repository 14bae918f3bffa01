"""Three or more models: Friedman's test and the distribution of ranks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from vesselbench.statistics.several import bootstrap_ranks, friedman

SMALL = st.integers(0, 4).map(float)
TABLES = st.integers(3, 5).flatmap(
    lambda models: st.lists(st.lists(SMALL, min_size=7, max_size=7), min_size=models, max_size=models)
)
SINGLES = [str(number) for number in range(7)]


@given(TABLES)
@settings(max_examples=80, deadline=None)
def test_the_statistic_is_scipys_and_nothing_is_ever_nan(values):
    found = friedman(values, SINGLES)
    assert 0 < found.p <= 1
    if all(len(set(column)) == 1 for column in zip(*values, strict=True)):
        assert (found.p, found.chi_square, found.reason) == (1.0, None, "all models are equal in every group")
        return
    expected = scipy_stats.friedmanchisquare(*values)
    assert found.chi_square == pytest.approx(expected.statistic, abs=1e-9)
    if found.f is not None:
        models, groups = len(values), len(SINGLES)
        f = (groups - 1) * expected.statistic / (groups * (models - 1) - expected.statistic)
        assert found.f == pytest.approx(f, abs=1e-6)
        assert found.p == pytest.approx(scipy_stats.f.sf(f, models - 1, (models - 1) * (groups - 1)), abs=1e-9)


def test_complete_agreement_has_the_chance_of_complete_agreement():
    found = friedman([[0.1] * 4, [0.2] * 4, [0.3] * 4], list("abcd"))
    orders = itertools.product(itertools.permutations(range(3)), repeat=3)
    same = np.mean([all(order == (0, 1, 2) for order in three) for three in orders])
    assert found.p == pytest.approx(same)
    assert found.f is None
    assert found.reason == "every group has one order"


def test_the_unit_is_the_group_not_the_image():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 6))
    many = friedman(np.repeat(values, 10, axis=1), [str(n // 10) for n in range(60)])
    assert many == friedman(values, [str(n) for n in range(6)])


def test_one_group_gives_p_one_in_words():
    assert friedman([[0.1, 0.2], [0.3, 0.3], [0.5, 0.1]], ["a", "a"]).reason.startswith("one group")


def test_equal_models_are_called_different_about_once_in_twenty():
    rng = np.random.default_rng(4)
    false = np.mean([friedman(rng.normal(size=(4, 10)), list("abcdefghij")).p < 0.05 for _ in range(1000)])
    assert 0.035 < false < 0.065


def test_two_models_are_refused():
    with pytest.raises(ValueError, match="three models"):
        friedman([[0.1], [0.2]], ["a"])


def test_ranks_of_models_far_apart_are_certain_and_turn_round_with_the_direction():
    values = [[0.1] * 6, [0.5] * 6, [0.9] * 6]
    higher = bootstrap_ranks(values, list("aabbcc"), "higher", resamples=50)
    lower = bootstrap_ranks(values, list("aabbcc"), "lower", resamples=50)
    assert higher.intervals == ((3, 3), (2, 2), (1, 1))
    assert lower.intervals == ((1, 1), (2, 2), (3, 3))
    assert higher.shares[2] == (1.0, 0.0, 0.0)


def test_equal_models_share_every_rank_evenly():
    ranks = bootstrap_ranks([[0.5] * 8] * 4, list("aabbccdd"), "higher")
    assert np.allclose(ranks.shares, 0.25, atol=0.02)
    assert set(ranks.intervals) == {(1, 4)}


@given(TABLES)
@settings(max_examples=40, deadline=None)
def test_every_model_has_some_rank_and_every_rank_some_model(values):
    shares = np.array(bootstrap_ranks(values, list("aabbbcd"), "higher", resamples=60).shares)
    assert shares.sum(axis=0) == pytest.approx(np.ones(len(values)))
    assert shares.sum(axis=1) == pytest.approx(np.ones(len(values)))


def test_the_share_of_first_ranks_is_the_chance_of_the_higher_mean():
    rng = np.random.default_rng(3)
    gain = rng.normal(0.02, 0.06, size=40)
    values = [gain, np.zeros(40), np.full(40, -9.0)]
    first = bootstrap_ranks(values, [str(n) for n in range(40)], "higher").shares[0][0]
    spread = gain.std() / math.sqrt(40)
    assert first == pytest.approx(scipy_stats.norm.cdf(gain.mean() / spread), abs=0.02)


def test_a_direction_that_is_none_is_refused():
    with pytest.raises(ValueError, match="sideways"):
        bootstrap_ranks([[0.1], [0.2]], ["a"], "sideways")
