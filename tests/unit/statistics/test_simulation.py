"""The decision that a comparison makes, on simulated test sets whose truth is known: error rates and power.

Longer: ``VESSELBENCH_SIMULATIONS=10000 pytest tests/unit/statistics/test_simulation.py -s`` prints every rate; those of
docs/statistics.md were made so. Scores are simulated per model, image and patient; ICC is the share of the variance of
a difference that all images of a patient have in common.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from vesselbench.comparing.pairing import pair_all

SD = 0.04
"""Of the difference of two models on an image."""
TIMES = os.environ.get("VESSELBENCH_SIMULATIONS")
pytestmark = [pytest.mark.timeout(0)] if TIMES else []  # ten thousand test sets take longer than any test of the suite


def many(in_suite):
    return int(TIMES or in_suite)


class Side:
    """As much of a contender as pairing asks for."""

    directions = {"dice": "higher"}  # noqa: RUF012

    def __init__(self, label, values):
        self.label, self._values = label, values

    def values(self, metric):
        return self._values


def judgements(rng, models=2, patients=30, images=5, icc=0.3, effect=0.0, margin=0.0, noise="normal"):
    """What is decided about every pair of one simulated test set; the first model is better by `effect`."""
    names = [str(n // images) for n in range(patients * images)]

    def draw(size):
        return rng.normal(size=size) if noise == "normal" else rng.exponential(size=size) - 1.0

    sides = []
    for number in range(models):
        patient = np.repeat(draw(patients), images)
        own = np.sqrt(icc) * patient + np.sqrt(1 - icc) * draw(patients * images)
        values = 0.8 + SD / np.sqrt(2) * own + (effect if number == 0 else 0.0)
        sides.append(Side(f"m{number}", values.tolist()))
    pairs = pair_all(sides, names, {"dice": "primary"}, margin)
    return [pair.metrics["dice"].judgement for pair in pairs]


def rate(times, wanted, seed, **setting):
    """Share of so many simulated test sets in which a pair gets one of the wanted judgements."""
    rng = np.random.default_rng(seed)
    found = sum(bool(set(wanted) & set(judgements(rng, **setting))) for _ in range(times)) / times
    sys.stdout.write(f"{setting}: {'/'.join(wanted)} in {found:.4f} of {times}\n")
    return found


@pytest.mark.parametrize("icc", [0.0, 0.3, 0.6])
def test_two_equal_models_are_told_apart_in_five_of_a_hundred_test_sets(icc):
    assert 0.03 <= rate(many(2000), ("better", "worse"), 1, icc=icc) <= 0.07


@pytest.mark.parametrize("patients", [4, 8])
def test_few_patients_do_not_make_false_alarms_common(patients):
    assert rate(many(500), ("better", "worse"), 2, patients=patients) <= 0.1


def test_skewed_differences_do_not_make_false_alarms_common():
    assert rate(many(1000), ("better", "worse"), 3, noise="skewed") <= 0.07


def test_of_four_equal_models_any_two_are_told_apart_in_at_most_about_five_of_a_hundred_test_sets():
    assert rate(many(400), ("better", "worse"), 4, models=4) <= 0.075


def test_a_difference_as_large_as_the_margin_is_called_equivalent_in_at_most_five_of_a_hundred_test_sets():
    assert rate(many(1000), ("equivalent",), 5, effect=0.02, margin=0.02, icc=0.3) <= 0.05


def test_equal_models_are_found_equivalent_once_the_margin_is_wide_enough():
    found = [rate(many(200), ("equivalent",), 6, margin=margin, icc=0.3) for margin in (0.005, 0.01, 0.03)]
    assert found == sorted(found)
    assert found[0] < 0.2
    assert found[-1] > 0.99


def test_power_grows_with_the_difference_and_with_the_patients():
    by_effect = [rate(many(200), ("better",), 7, effect=effect) for effect in (0.0, 0.01, 0.02, 0.03)]
    by_patients = [rate(many(200), ("better",), 8, effect=0.02, patients=patients) for patients in (6, 12, 24, 48)]
    assert by_effect == sorted(by_effect)
    assert by_patients == sorted(by_patients)
    assert by_effect[0] < 0.05
    assert by_effect[-1] > 0.95
    assert by_patients[0] < 0.6 < 0.95 < by_patients[-1]
    assert rate(many(200), ("worse",), 7, effect=0.02) < 0.02
