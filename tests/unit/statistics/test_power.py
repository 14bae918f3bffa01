"""The minimum detectable difference, held against simulated test sets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from vesselbench.statistics.paired import cluster_bootstrap
from vesselbench.statistics.power import minimum_detectable


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
        interval = cluster_bootstrap(claimed + noise(rng, groups, 5, icc), names, resamples=1000)
        found += interval.low > 0
    assert 0.74 < found / 600 < 0.88


def test_single_images_give_the_textbook_value():
    values = np.random.default_rng(1).normal(size=20)
    claimed = minimum_detectable(values, [str(n) for n in range(20)]).difference
    shift = claimed / (values.std(ddof=1) / np.sqrt(20))
    bound = scipy_stats.t.ppf(0.975, 19)
    power = scipy_stats.nct.sf(bound, 19, shift)
    assert power == pytest.approx(0.8, abs=1e-6)


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
    assert "one group" in minimum_detectable([0.1, 0.2], ["a", "b"], planned=1).reason
    assert "no spread" in minimum_detectable([0.1] * 4, list("abcd")).reason
