"""Paired statistics: exact where they can be checked by hand, calibrated where they cannot."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from vesselbench.statistics.paired import cluster_bootstrap, group_means, hodges_lehmann, tally, wilcoxon_by_group

NUMBERS = st.floats(-1, 1, allow_nan=False).map(lambda value: round(value, 6))
GROUPED = st.lists(st.tuples(NUMBERS, st.sampled_from("abcdef")), min_size=2, max_size=30)


def split(pairs):
    return [value for value, _ in pairs], [group for _, group in pairs]


@given(GROUPED)
@settings(max_examples=60, deadline=None)
def test_the_interval_holds_the_mean_and_turns_round_with_the_sign(pairs):
    values, groups = split(pairs)
    interval = cluster_bootstrap(values, groups, resamples=300)
    if len(set(groups)) == 1:
        assert (interval.low, interval.high) == (None, None)
        assert "one group" in interval.reason
        return
    assert interval.low <= np.mean(values) + 1e-9
    assert interval.high >= np.mean(values) - 1e-9
    turned = cluster_bootstrap([-value for value in values], groups, resamples=300)
    assert (-turned.high, -turned.low) == pytest.approx((interval.low, interval.high), abs=1e-9)


@given(GROUPED, st.floats(0.1, 50), NUMBERS)
@settings(max_examples=60, deadline=None)
def test_the_interval_follows_a_change_of_unit_and_a_shift(pairs, scale, shift):
    values, groups = split(pairs)
    groups[0], groups[1] = "a", "b"
    plain = cluster_bootstrap(values, groups, resamples=300)
    moved = cluster_bootstrap([scale * value + shift for value in values], groups, resamples=300)
    expected = (scale * plain.low + shift, scale * plain.high + shift)
    assert (moved.low, moved.high) == pytest.approx(expected, abs=1e-7)


@given(st.floats(-1, 1), st.lists(st.sampled_from("abcd"), min_size=2, max_size=40))
@settings(max_examples=60, deadline=None)
def test_equal_differences_give_an_interval_without_width(value, groups):
    groups[0], groups[1] = "a", "b"
    interval = cluster_bootstrap([value] * len(groups), groups, resamples=200)
    assert (interval.low, interval.high) == (value, value)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another_one():
    values, groups = list(np.random.default_rng(0).normal(size=20)), list("abcdefghij" * 2)
    first = cluster_bootstrap(values, groups, resamples=500, seed=1)
    assert first == cluster_bootstrap(values, groups, resamples=500, seed=1)
    assert first != cluster_bootstrap(values, groups, resamples=500, seed=2)


def test_with_many_equal_groups_the_interval_is_that_of_student():
    values = np.random.default_rng(5).normal(0.02, 0.05, size=60)
    interval = cluster_bootstrap(values, [str(i) for i in range(60)], resamples=20_000)
    student = scipy_stats.t.interval(0.95, 59, loc=values.mean(), scale=values.std(ddof=1) / np.sqrt(60))
    assert (interval.low, interval.high) == pytest.approx(student, abs=1.5e-3)


def test_for_single_images_the_quantiles_are_scipys_bootstrap_before_they_are_stretched():
    values = np.random.default_rng(7).gamma(2, 0.02, size=25) - 0.03
    ours = cluster_bootstrap(values, [str(i) for i in range(25)], resamples=40_000)
    scipys = scipy_stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    stretch = np.sqrt(25 / 24) * scipy_stats.t.ppf(0.975, 24) / scipy_stats.norm.ppf(0.975)
    arms = (np.array([ours.low, ours.high]) - values.mean()) / stretch
    assert arms == pytest.approx(np.array(scipys) - values.mean(), abs=2e-4)


def test_images_of_one_patient_widen_the_interval():
    patients = np.random.default_rng(2).normal(0, 0.05, size=12)
    values = np.repeat(patients, 5)
    by_patient = cluster_bootstrap(values, [str(i // 5) for i in range(60)])
    by_image = cluster_bootstrap(values, [str(i) for i in range(60)])
    assert by_patient.high - by_patient.low > 2 * (by_image.high - by_image.low)


@pytest.mark.parametrize(("groups", "most"), [(4, 0.10), (6, 0.10), (15, 0.10)])
def test_two_equal_models_are_called_different_about_once_in_twenty(groups, most):
    rng, simulations = np.random.default_rng(groups), 300
    names = [str(i // 4) for i in range(4 * groups)]
    excluded = 0
    for _ in range(simulations):
        values = np.repeat(rng.normal(size=groups), 4) + rng.normal(size=4 * groups)
        interval = cluster_bootstrap(values, names, resamples=400, seed=1)
        excluded += interval.low > 0 or interval.high < 0
    assert 0.01 < excluded / simulations < most


def signed_rank_by_enumeration(values):
    """Share of all sign patterns whose rank sum is at least as far from its middle."""
    ranks = scipy_stats.rankdata(np.abs(values)) * (np.array(values) != 0)
    seen = abs(np.sum(ranks * np.sign(values)))
    sums = [abs(np.dot(ranks, signs)) for signs in itertools.product((-1, 1), repeat=len(values))]
    return np.mean(np.array(sums) >= seen - 1e-9)


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=8))
@settings(max_examples=40, deadline=None)
def test_wilcoxon_equals_the_enumeration_of_all_signs(values):
    result = wilcoxon_by_group([value / 10 for value in values], [str(i) for i in range(len(values))])
    assert result.p == pytest.approx(signed_rank_by_enumeration(values), abs=1e-9)


@pytest.mark.parametrize("count", [9, 30, 70])
def test_of_single_images_wilcoxon_is_scipys(count):
    values = np.random.default_rng(count).normal(0.2, 1, size=count)
    found = wilcoxon_by_group(values, [str(i) for i in range(count)])
    assert found.p == pytest.approx(scipy_stats.wilcoxon(values).pvalue)


def test_wilcoxon_works_on_patients_not_on_images():
    values, groups = [0.1, 0.2, 0.3, -0.1, -0.2, -0.3] * 5, list("aaabbb") * 5
    result = wilcoxon_by_group(values, groups)
    assert (result.groups, result.p) == (2, 1.0)
    assert group_means(values, groups) == pytest.approx([0.2, -0.2])


def test_all_equal_models_give_p_one_and_no_warning():
    assert wilcoxon_by_group([0.0] * 8, list("abcdefgh")).p == 1.0
    assert wilcoxon_by_group([1e-12, -1e-13, 0.0], list("abc")).p == 1.0


@pytest.mark.parametrize(("count", "floor"), [(2, "0.5"), (4, "0.125"), (5, "0.0625")])
def test_few_groups_say_how_small_p_can_be(count, floor):
    result = wilcoxon_by_group([0.1 + i / 100 for i in range(count)], [str(i) for i in range(count)])
    assert result.p == pytest.approx(float(floor))
    assert floor in result.note


def test_six_groups_can_be_significant_and_say_nothing():
    result = wilcoxon_by_group([0.1 + i / 100 for i in range(6)], list("abcdef"))
    assert result.p < 0.05
    assert result.note == ""


def test_more_groups_than_the_exact_table_holds_still_give_a_p():
    values = np.random.default_rng(0).normal(0.4, 1, 80)
    result = wilcoxon_by_group(values, [str(i) for i in range(80)])
    assert 0 < result.p < 0.01


def test_one_group_gives_p_one_with_a_note():
    result = wilcoxon_by_group([0.5, 0.6], ["a", "a"])
    assert (result.p, result.groups) == (1.0, 1)
    assert "one group" in result.note


@given(GROUPED)
@settings(max_examples=60, deadline=None)
def test_hodges_lehmann_is_the_median_of_pairwise_averages(pairs):
    values, groups = split(pairs)
    means = [np.mean([v for v, g in pairs if g == name]) for name in dict.fromkeys(groups)]
    averages = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(means, 2)]
    assert hodges_lehmann(values, groups) == pytest.approx(np.median(averages), abs=1e-9)


@given(st.lists(NUMBERS, max_size=30))
def test_a_tally_counts_every_image_once_and_turns_round_with_the_direction(values):
    higher, lower = tally(values, "higher"), tally(values, "lower")
    assert higher.wins + higher.ties + higher.losses == len(values)
    assert (higher.wins, higher.ties, higher.losses) == (lower.losses, lower.ties, lower.wins)
    assert higher.wins == sum(value > 0 for value in values)


@pytest.mark.parametrize(
    ("values", "groups"),
    [([], []), ([0.1], ["a", "b"]), ([0.1, float("nan")], ["a", "b"]), ([0.1, float("inf")], ["a", "b"])],
)
@pytest.mark.parametrize("function", [cluster_bootstrap, wilcoxon_by_group, hodges_lehmann])
def test_data_that_cannot_be_paired_are_refused(function, values, groups):
    with pytest.raises(ValueError, match=r"difference"):
        function(values, groups)


def test_a_direction_that_is_none_is_refused():
    with pytest.raises(ValueError, match="upward"):
        tally([0.1], "upward")


def test_no_resamples_are_refused():
    with pytest.raises(ValueError, match="resamples"):
        cluster_bootstrap([0.1, 0.2], ["a", "b"], resamples=0)
