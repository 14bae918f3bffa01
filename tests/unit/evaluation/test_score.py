import hashlib

import numpy as np
import pytest

from vesselbench.data.masks import mask_sha256
from vesselbench.errors import UserError
from vesselbench.evaluation.metrics import Dice, IoU, PixelAccuracy
from vesselbench.evaluation.score import score
from vesselbench.types import Prediction

REFERENCE = np.zeros((6, 8), bool)
REFERENCE[2:4] = True
METRICS = (Dice(), IoU(), PixelAccuracy())


class Given:
    """A metric that returns what it was given."""

    def __init__(self, value, kind="none", name="given"):
        self.value, self.kind, self.name, self.better, self.version = value, kind, name, "lower", 1

    def __call__(self, _prediction, _example):
        return self.value


def predict(mask, **more):
    return Prediction("a", mask.astype(np.float32), **more)


def test_a_row_holds_values_group_target_case_status_and_the_hash_of_the_mask(example_of):
    row = score(predict(REFERENCE, status="no_seg"), example_of(REFERENCE), METRICS)
    assert (row.id, row.group, row.target, row.case, row.status) == ("a", "patient", "vessel", "ok", "no_seg")
    assert row.values == {"dice": 1.0, "iou": 1.0, "pixel_accuracy": 1.0}
    assert row.reasons == {}
    assert row.mask_sha256 == mask_sha256(REFERENCE)
    assert len(row.mask_sha256) == len(hashlib.sha256().hexdigest())


def test_the_threshold_of_the_prediction_decides_values_and_hash(example_of):
    probability = np.where(REFERENCE, 0.4, 0.1).astype(np.float32)
    low = score(Prediction("a", probability, threshold=0.3), example_of(REFERENCE), METRICS)
    high = score(Prediction("a", probability, threshold=0.5), example_of(REFERENCE), METRICS)
    assert (low.values["dice"], high.values["dice"]) == (1.0, 0.0)
    assert high.case == "empty_prediction"
    assert low.mask_sha256 != high.mask_sha256


def test_the_policy_stands_in_for_overlap_and_distance_but_not_for_other_metrics(example_of):
    metrics = [Given(0.7, "overlap", "o"), Given(0.7, "distance", "d"), Given(0.7, "none", "n")]
    row = score(predict(np.zeros((6, 8))), example_of(REFERENCE), metrics)
    assert row.values == {"o": 0.0, "d": 10.0, "n": 0.7}
    row = score(predict(REFERENCE), example_of(REFERENCE), metrics)
    assert row.values == {"o": 0.7, "d": 0.7, "n": 0.7}


def test_none_is_kept_with_a_reason_that_names_the_metric(example_of):
    row = score(predict(REFERENCE), example_of(REFERENCE), [Dice(), Given(None)])
    assert row.values == {"dice": 1.0, "given": None}
    assert row.reasons == {"given": "not defined on this image"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_names_metric_and_sample(example_of, value):
    with pytest.raises(ValueError, match=r"metric 'given' returned .* on sample 'a'"):
        score(predict(REFERENCE), example_of(REFERENCE), [Given(value)])


def test_a_numpy_value_becomes_a_plain_float(example_of):
    row = score(predict(REFERENCE), example_of(REFERENCE), [Given(np.float32(0.5))])
    assert type(row.values["given"]) is float


@pytest.mark.parametrize(
    ("probability", "message"),
    [
        (np.zeros((6, 7), np.float32), r"'a' is of size \(6, 7\), the image of \(6, 8\)"),
        (np.zeros((6, 8), np.float64), "'a' is float64, not float32"),
        (np.full((6, 8), 1.001, np.float32), r"'a' lies in .* outside \[0, 1\]"),
        (np.full((6, 8), -0.001, np.float32), r"'a' lies in .* outside \[0, 1\]"),
    ],
)
def test_a_prediction_of_wrong_size_type_or_range_names_the_sample(example_of, probability, message):
    with pytest.raises(ValueError, match=message):
        score(Prediction("a", probability), example_of(REFERENCE), METRICS)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_probability_that_is_not_finite_is_the_users_error_with_a_cure(example_of, value):
    probability = REFERENCE.astype(np.float32)
    probability[0, 0] = value
    with pytest.raises(UserError, match="not finite on sample 'a'") as caught:
        score(Prediction("a", probability), example_of(REFERENCE), METRICS)
    assert "train.lr" in caught.value.hint


def test_the_prediction_of_another_sample_is_refused(example_of):
    with pytest.raises(ValueError, match="'a' was given for sample 'b'"):
        score(predict(REFERENCE), example_of(REFERENCE, name="b"), METRICS)


def test_a_sample_without_mask_cannot_be_scored_and_is_named_with_its_origin(example_of):
    with pytest.raises(UserError, match=r"'a' has no mask and cannot be scored \(annotations.json item 3\)"):
        score(predict(REFERENCE), example_of(None, size=(6, 8)), METRICS)


def test_an_empty_field_of_view_is_an_error_and_not_a_perfect_score(example_of):
    with pytest.raises(UserError, match="field of view of sample 'a' is empty"):
        score(predict(REFERENCE), example_of(REFERENCE, fov=np.zeros((6, 8), bool)), METRICS)
