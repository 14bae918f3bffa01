"""The minimum detectable difference, held against simulated test sets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from vesselbench.statistics.paired import LEVEL, cluster_bootstrap, wilcoxon_by_group
from vesselbench.statistics.power import _signed_rank_level, minimum_detectable


def noise(rng, groups, images, icc):
    patients = np.repeat(rng.normal(0, np.sqrt(icc), groups), images)
    return 0.04 * (patients + rng.normal(0, np.sqrt(1 - icc), groups * images))


@pytest.mark.parametrize(("groups", "icc"), [(8, 0.3), (30, 0.6)])
def test_that_difference_is_found_in_about_four_of_five_test_sets(groups, icc):
    rng, names = np.random.default_rng(groups), [str(n // 5) for n in range(5 * groups)]
    claimed = np.sqrt(
        np.mean([minimum_detectable(noise(rng, groups, 5, icc), names).difference ** 2 for _ in range(400)])
    )
    found = 0
    for _ in range(600):
        differences = claimed + noise(rng, groups, 5, icc)
        found += wilcoxon_by_group(differences, names).p < LEVEL and cluster_bootstrap(differences, names).low > 0
    assert 0.7 < found / 600 < 0.85


def test_single_images_give_the_textbook_value():
    values = np.random.default_rng(1).normal(size=20)
    claimed = minimum_detectable(values, [str(n) for n in range(20)]).difference
    shift = claimed * np.sqrt(3 / np.pi) / (values.std(ddof=1) / np.sqrt(20))
    bound = scipy_stats.t.ppf(1 - _signed_rank_level(20) / 2, 19)
    power = scipy_stats.nct.sf(bound, 19, shift)
    assert power == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("groups", [6, 7, 10, 13])
def test_the_level_is_one_that_the_test_can_reach(groups):
    level = _signed_rank_level(groups)
    names, signs = [str(n) for n in range(groups)], itertools.product((-1, 1), repeat=min(groups, 8))
    found = {
        wilcoxon_by_group([*(s * (n + 1) for n, s in enumerate(some)), *range(9, groups + 1)], names).p
        for some in signs
    }
    reached = [p for p in found if p <= LEVEL]
    assert max(reached) == pytest.approx(level)


def test_it_ignores_the_mean_and_shrinks_with_the_planned_groups():
    values, names = np.random.default_rng(1).normal(size=24), [str(n // 2) for n in range(24)]
    here = minimum_detectable(values, names)
    assert minimum_detectable(values + 5, names).difference == pytest.approx(here.difference)
    assert minimum_detectable(values, names, planned=12).difference == pytest.approx(here.difference)
    assert minimum_detectable(values, names, planned=48).difference < here.difference / 1.9
    assert minimum_detectable(values, names, planned=48).groups == 48


def test_images_of_one_patient_make_it_larger():
    values = np.repeat(np.random.default_rng(2).normal(size=10), 5)
    by_patient = minimum_detectable(values, [str(n // 5) for n in range(50)]).difference
    assert by_patient > 2 * minimum_detectable(values, [str(n) for n in range(50)]).difference


def test_where_there_is_no_spread_there_is_a_reason():
    assert "one group" in minimum_detectable([0.1, 0.2], ["a", "a"]).reason
    assert "cannot reach p < 0.05" in minimum_detectable([0.1, 0.2], ["a", "b"], planned=1).reason
    assert "on 5 groups" in minimum_detectable([0.1, 0.2, 0.1, 0.3, 0.0], list("abcde")).reason
    assert "no spread" in minimum_detectable([0.1] * 6, list("abcdef")).reason
