import math

import numpy as np
import pytest

from vesselbench.evaluation.policy import case_of, inside, policy_value

FULL, EMPTY = np.ones((3, 4), bool), np.zeros((3, 4), bool)
LEFT = np.zeros((3, 4), bool)
LEFT[:, :2] = True
CORNER = np.zeros((3, 4), bool)
CORNER[0, 3] = True


@pytest.mark.parametrize(
    ("prediction", "reference", "case"),
    [
        (FULL, FULL, "ok"),
        (EMPTY, EMPTY, "both_empty"),
        (EMPTY, FULL, "empty_prediction"),
        (FULL, EMPTY, "empty_reference"),
    ],
)
def test_the_case_says_which_mask_is_empty(prediction, reference, case):
    assert case_of(prediction, reference, None) == case


@pytest.mark.parametrize(
    ("prediction", "reference", "case"),
    [(CORNER, LEFT, "empty_prediction"), (LEFT, CORNER, "empty_reference"), (CORNER, CORNER, "both_empty")],
)
def test_foreground_outside_the_field_of_view_does_not_count(prediction, reference, case):
    assert case_of(prediction, reference, LEFT) == case


@pytest.mark.parametrize(
    ("kind", "case", "value"),
    [
        ("overlap", "both_empty", 1.0),
        ("overlap", "empty_prediction", 0.0),
        ("overlap", "empty_reference", 0.0),
        ("distance", "both_empty", 0.0),
        ("distance", "empty_prediction", 5.0),
        ("distance", "empty_reference", 5.0),
        ("overlap", "ok", None),
        ("distance", "ok", None),
        ("none", "both_empty", None),
        ("none", "empty_prediction", None),
    ],
)
def test_an_empty_mask_scores_what_the_policy_says(kind, case, value):
    assert policy_value(kind, case, (3, 4)) == value


def test_the_distance_of_one_empty_mask_is_the_diagonal_in_pixels():
    assert policy_value("distance", "empty_prediction", (20, 30)) == math.sqrt(1300)


def test_an_unknown_kind_is_refused_even_where_no_mask_is_empty():
    with pytest.raises(ValueError, match="'overlapp'"):
        policy_value("overlapp", "ok", (3, 4))


def test_inside_keeps_the_pixels_of_the_field_of_view_in_row_order():
    mask = np.array([[True, False], [False, True]])
    assert inside(mask, None).tolist() == [True, False, False, True]
    assert inside(mask, np.array([[False, True], [True, True]])).tolist() == [False, False, True]


def test_a_field_of_view_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 2\) against mask \(3, 4\)"):
        inside(FULL, np.ones((2, 2), bool))
