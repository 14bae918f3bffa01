import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vesselbench.evaluation.metrics import Dice, IoU, PixelAccuracy
from vesselbench.types import Example, Prediction, Sample

METRICS = (Dice(), IoU(), PixelAccuracy())


def plain_example(mask, view=None):
    return Example(Sample("a", Path("a.png"), None), np.zeros((*mask.shape, 3), np.uint8), mask, view)


@st.composite
def pairs_with_view(draw):
    """Two masks of one size with any density, and a field of view with at least one pixel (or none given)."""
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    mask = arrays.arrays(np.bool_, shape)
    predicted, reference = draw(mask), draw(mask)
    view = draw(st.none() | mask.filter(lambda pixels: pixels.any()))
    return predicted, reference, view


def prediction_of(mask):
    return Prediction("a", mask.astype(np.float32))


def brute_force(predicted, reference, view):
    """Counts pixel by pixel: (dice, iou, accuracy)."""
    true_positive = false_positive = false_negative = true_negative = 0
    for position in np.ndindex(predicted.shape):
        if view is not None and not view[position]:
            continue
        if predicted[position] and reference[position]:
            true_positive += 1
        elif predicted[position]:
            false_positive += 1
        elif reference[position]:
            false_negative += 1
        else:
            true_negative += 1
    wrong = false_positive + false_negative
    dice = 2 * true_positive / (2 * true_positive + wrong) if true_positive + wrong else 1.0
    iou = true_positive / (true_positive + wrong) if true_positive + wrong else 1.0
    return dice, iou, (true_positive + true_negative) / (true_positive + true_negative + wrong)


@settings(max_examples=80, deadline=None)
@given(pairs_with_view())
def test_dice_iou_and_accuracy_equal_a_count_pixel_by_pixel(case):
    predicted, reference, view = case
    values = [metric(prediction_of(predicted), plain_example(reference, view)) for metric in METRICS]
    assert values == pytest.approx(brute_force(predicted, reference, view), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(pairs_with_view())
def test_dice_follows_from_iou(case):
    predicted, reference, view = case
    iou = IoU()(prediction_of(predicted), plain_example(reference, view))
    assert Dice()(prediction_of(predicted), plain_example(reference, view)) == pytest.approx(
        2 * iou / (1 + iou), abs=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(pairs_with_view())
def test_every_built_in_metric_is_symmetric_in_prediction_and_reference(case):
    predicted, reference, view = case
    for metric in METRICS:
        there = metric(prediction_of(predicted), plain_example(reference, view))
        back = metric(prediction_of(reference), plain_example(predicted, view))
        assert there == pytest.approx(back, abs=1e-6)


def test_dice_of_a_known_pair():
    reference = np.array([[1, 1, 0, 0]], bool)
    predicted = np.array([[1, 0, 1, 0]], bool)
    assert [metric(prediction_of(predicted), plain_example(reference)) for metric in METRICS] == pytest.approx(
        [1 / 2, 1 / 3, 1 / 2], abs=1e-7
    )


def test_a_pixel_at_the_threshold_counts_as_vessel():
    prediction = Prediction("a", np.array([[0.25, 0.2]], np.float32), threshold=0.25)
    assert Dice()(prediction, plain_example(np.array([[True, False]]))) == 1.0


def test_a_large_image_is_counted_without_overflow():
    reference = np.ones((600, 600), bool)
    predicted = reference.copy()
    predicted[:300] = False
    values = [metric(prediction_of(predicted), plain_example(reference)) for metric in METRICS]
    assert values == pytest.approx([2 / 3, 1 / 2, 1 / 2], abs=1e-6)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_refuses_what_it_cannot_compare(metric):
    with pytest.raises(ValueError, match="no mask"):
        metric(prediction_of(np.ones((2, 2))), replace(plain_example(np.ones((2, 2), bool)), mask=None))
    with pytest.raises(ValueError, match=r"\(2, 2\) against mask \(2, 3\)"):
        metric(prediction_of(np.ones((2, 2))), plain_example(np.ones((2, 3), bool)))
    with pytest.raises(ValueError, match="field of view of 'a' is empty"):
        metric(prediction_of(np.ones((2, 2))), plain_example(np.ones((2, 2), bool), np.zeros((2, 2), bool)))


def test_importing_metrics_and_policy_imports_neither_torch_nor_monai():
    code = (
        "import sys, vesselbench.evaluation.metrics, vesselbench.evaluation.policy;"
        "print(sorted({'torch', 'monai', 'scipy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
