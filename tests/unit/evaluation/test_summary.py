import json

import numpy as np
import pytest

from vesselbench.config import EvalConfig
from vesselbench.evaluation.metrics import Dice, IoU
from vesselbench.evaluation.summary import metric_summaries, summarise
from vesselbench.types import ScoreRow, Scores

ROWS = (
    ScoreRow("a", "child1", "vessel", {"dice": 0.8, "iou": 0.5}),
    ScoreRow("b", "child1", "vessel", {"dice": 0.0, "iou": None}, case="empty_prediction", reasons={"iou": "unknown"}),
    ScoreRow("c", "child2", "vessel", {"dice": 1.0, "iou": 1.0}, case="both_empty", status="no_seg"),
    ScoreRow("d", "child3", "vessel", {"dice": 0.0, "iou": None}, case="empty_reference", reasons={"iou": "unknown"}),
)
METRICS = (Dice(), IoU())


def summary_of(rows=ROWS, seconds=2.0):
    scores = Scores(rows, "test", 0.4, "f" * 64, {"dice": 1, "iou": 1}, "w" * 64)
    return summarise(
        scores, METRICS, EvalConfig(metrics=["dice", "iou"]), threshold_from="validation", seconds=seconds, device="cpu"
    )


def test_no_image_leaves_the_mean_and_missing_values_are_counted():
    summary = summary_of()
    assert summary["metrics"]["dice"] == {
        "mean": pytest.approx(0.45),
        "std": pytest.approx(np.std([0.8, 0, 1, 0], ddof=1)),
        "median": 0.4,
        "group_mean": pytest.approx((0.4 + 1 + 0) / 3),
        "pooled": None,
        "count": 4,
        "none": 0,
        "reasons": {},
        "better": "higher",
    }
    iou = summary["metrics"]["iou"]
    assert (iou["mean"], iou["group_mean"], iou["count"], iou["none"]) == (0.75, 0.75, 2, 2)
    assert iou["reasons"] == {"unknown": 2}


def test_every_case_is_counted_also_those_that_did_not_occur():
    assert summary_of()["cases"] == {"ok": 1, "both_empty": 1, "empty_prediction": 1, "empty_reference": 1}
    assert summary_of(ROWS[:1])["cases"] == {"ok": 1, "both_empty": 0, "empty_prediction": 0, "empty_reference": 0}


def test_the_mean_over_images_with_a_reference_keeps_empty_predictions():
    assert summary_of()["reference_nonempty_means"] == {"dice": pytest.approx(0.4), "iou": 0.5}


def test_a_metric_without_any_value_has_no_mean():
    rows = (ScoreRow("a", "", "vessel", {"dice": None}, reasons={"dice": "unknown"}),)
    assert metric_summaries(rows, [Dice()])["dice"]["mean"] is None
    assert metric_summaries(rows, [Dice()])["dice"]["none"] == 1


def test_speed_groups_statuses_and_provenance_are_stated():
    summary = summary_of()
    assert (summary["images"], summary["groups"], summary["images_per_second"]) == (4, 3, 2.0)
    assert summary["statuses"] == {"no_seg": 1, "ok": 3}
    assert (summary["set_name"], summary["threshold"], summary["threshold_from"]) == ("test", 0.4, "validation")
    assert (summary["fingerprint"], summary["weights_sha256"]) == ("f" * 64, "w" * 64)
    assert (summary["primary"], summary["batch_size"], summary["device"]) == ("dice", 1, "cpu")


def test_a_summary_is_json_without_nan_even_when_no_time_was_measured():
    assert json.loads(json.dumps(summary_of(seconds=0.0), allow_nan=False))["images_per_second"] is None
