from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesselbench.errors import UserError
from vesselbench.evaluation.metrics import Dice, PixelAccuracy
from vesselbench.evaluation.threshold import THRESHOLDS, choose_threshold, values_at_thresholds
from vesselbench.types import Example, Prediction, Sample

HALF = THRESHOLDS.index(0.5)
SCORES = st.floats(0, 1)
IMAGE = st.lists(SCORES, min_size=len(THRESHOLDS), max_size=len(THRESHOLDS))


def plain_example(mask):
    return Example(Sample("a", Path("a.png"), None), np.zeros((*mask.shape, 3), np.uint8), mask)


def mean_at(images, threshold):
    return np.mean([image[THRESHOLDS.index(threshold)] for image in images])


def test_the_grid_is_0_05_to_0_95_in_steps_of_0_05():
    assert tuple(np.round(np.arange(0.05, 0.96, 0.05), 2)) == THRESHOLDS


@given(st.lists(IMAGE, min_size=1, max_size=6), st.sampled_from(["higher", "lower"]))
def test_the_chosen_threshold_is_never_worse_than_any_other_on_the_set_it_was_chosen_on(images, better):
    best = mean_at(images, choose_threshold(images, better))
    sign = 1 if better == "higher" else -1
    assert all(sign * best >= sign * mean_at(images, threshold) - 1e-12 for threshold in THRESHOLDS)


@given(st.lists(IMAGE, min_size=2, max_size=6), st.randoms())
def test_the_order_of_the_images_does_not_matter(images, random):
    chosen = choose_threshold(images, "higher")
    random.shuffle(images)
    assert choose_threshold(images, "higher") == chosen


def test_a_tie_goes_to_the_threshold_nearest_one_half_then_to_the_lower():
    flat = [0.0] * len(THRESHOLDS)
    assert choose_threshold([flat], "higher") == 0.5
    ends = flat.copy()
    ends[0] = ends[HALF + 1] = ends[HALF - 1] = 1.0
    assert choose_threshold([ends], "higher") == 0.45


def test_a_mean_cannot_rise_by_losing_images():
    good = [0.9] * len(THRESHOLDS)
    poor: list[float | None] = [0.1] * len(THRESHOLDS)
    poor[-1] = None
    assert choose_threshold([good, poor], "higher") == 0.5


def test_without_any_value_the_user_is_told_to_set_a_threshold():
    with pytest.raises(UserError, match="no validation image") as caught:
        choose_threshold([[None] * len(THRESHOLDS)], "higher")
    assert "evaluation.threshold" in caught.value.hint


def test_an_image_with_another_number_of_values_is_refused():
    with pytest.raises(ValueError, match="19 values"):
        choose_threshold([[0.5]], "higher")


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 0.9))
def test_on_real_probabilities_the_choice_is_at_least_as_good_as_one_half(seed, level):
    generator = np.random.default_rng(seed)
    images = []
    for _ in range(3):
        mask = generator.random((12, 12)) < 0.3
        probability = np.clip(generator.normal(level, 0.1, mask.shape) + 0.15 * mask, 0, 1).astype(np.float32)
        images.append(values_at_thresholds(Prediction("a", probability), plain_example(mask), Dice()))
    assert mean_at(images, choose_threshold(images, "higher")) >= mean_at(images, 0.5)


def test_a_model_that_is_sure_too_low_gets_the_threshold_that_separates():
    mask = np.zeros((10, 10), bool)
    mask[:2] = True
    probability = np.where(mask, 0.22, 0.18).astype(np.float32)
    values = values_at_thresholds(Prediction("a", probability), plain_example(mask), Dice())
    assert choose_threshold([values], "higher") == 0.2
    assert values[THRESHOLDS.index(0.2)] == 1.0


def test_values_at_thresholds_follow_the_policy_and_the_metric():
    mask = np.zeros((10, 10), bool)
    mask[:2] = True
    prediction = Prediction("a", np.where(mask, 0.32, 0.0).astype(np.float32))
    assert values_at_thresholds(prediction, plain_example(mask), Dice()) == [1.0] * 6 + [0.0] * 13
    accuracy = values_at_thresholds(prediction, plain_example(mask), PixelAccuracy())
    assert accuracy == pytest.approx([1.0] * 6 + [0.8] * 13, abs=1e-6)
