import json

import numpy as np
import pytest
from PIL import Image

from vesselbench.config import EvalConfig
from vesselbench.data.masks import mask_sha256
from vesselbench.data.read import load_example
from vesselbench.errors import UserError
from vesselbench.evaluation.evaluate import evaluate, known_threshold
from vesselbench.evaluation.threshold import THRESHOLDS
from vesselbench.rundir import RunDir, read_jsonl
from vesselbench.types import Prediction

THREE = ["dice", "iou", "pixel_accuracy"]
FIXED = EvalConfig(threshold=0.5, metrics=THREE)
CHOSEN = EvalConfig(metrics=THREE)
KNOWN = {"set_name": "val", "fingerprint": "f" * 64}


def grey(examples):
    """The images' own grey values as probabilities."""
    return [Prediction(e.sample.id, e.image[..., 0].astype(np.float32) / 255) for e in examples]


def perfect(examples):
    return [Prediction(e.sample.id, e.mask.astype(np.float32)) for e in examples]


class Counted:
    def __init__(self, device=None):
        self.sizes = []
        self.device = device

    def predict(self, examples):
        self.sizes.append(len(examples))
        return grey(examples)


def test_a_perfect_prediction_scores_one_on_every_image_in_the_order_of_the_samples(catalogue, write_samples):
    samples = write_samples(4)
    result = evaluate(perfect, samples[::-1], FIXED, catalogue, **KNOWN)
    assert [row.id for row in result.scores.rows] == ["eye 3", "eye 2", "eye 1", "eye 0"]
    assert all(row.values == {"dice": 1.0, "iou": 1.0, "pixel_accuracy": 1.0} for row in result.scores.rows)
    assert result.primary == 1.0
    assert result.summary["images"] == 4
    assert result.summary["groups"] == 2


def test_the_threshold_chosen_on_validation_beats_every_fixed_one_of_the_grid(catalogue, write_samples):
    samples = write_samples(3, fov=True)
    chosen = evaluate(grey, samples, CHOSEN, catalogue, **KNOWN)
    fixed = [
        evaluate(grey, samples, EvalConfig(threshold=t, metrics=THREE), catalogue, **KNOWN).primary for t in THRESHOLDS
    ]
    assert chosen.primary == max(fixed)
    assert chosen.primary > fixed[THRESHOLDS.index(0.5)]
    assert chosen.scores.threshold == THRESHOLDS[int(np.argmax(fixed))]
    assert (chosen.summary["threshold"], chosen.summary["threshold_from"]) == (chosen.scores.threshold, "validation")


def test_choosing_first_gives_the_same_rows_as_giving_the_threshold(catalogue, write_samples):
    samples = write_samples(3, fov=True)
    chosen = evaluate(grey, samples, CHOSEN, catalogue, **KNOWN)
    given = evaluate(grey, samples, CHOSEN, catalogue, threshold=chosen.scores.threshold, **KNOWN)
    assert given.scores == chosen.scores


def test_each_image_is_predicted_once_in_batches_of_the_configured_size(catalogue, write_samples):
    counted = Counted()
    evaluate(counted.predict, write_samples(5), EvalConfig(batch_size=2), catalogue, **KNOWN)
    assert counted.sizes == [2, 2, 1]


def test_limit_keeps_the_first_samples_and_progress_counts_them(catalogue, write_samples):
    seen = []
    result = evaluate(
        grey, write_samples(4), CHOSEN, catalogue, limit=2, progress=lambda *done: seen.append(done), **KNOWN
    )
    assert [row.id for row in result.scores.rows] == ["eye 0", "eye 1"]
    assert seen == [(1, 2), (2, 2)]


class Nowhere:
    """A metric without a value on any image."""

    name, better, version, kind = "nowhere", "higher", 1, "none"

    def __call__(self, prediction, example):
        return None


def test_a_smoke_test_needs_no_value_of_the_primary_metric(catalogue, write_samples):
    catalogue.metrics.add("test", Nowhere())
    config = EvalConfig(metrics=["nowhere"], primary="nowhere", batch_size=1)
    result = evaluate(grey, write_samples(2), config, catalogue, limit=1, **KNOWN)
    assert result.scores.threshold == 0.5
    assert result.summary["threshold_from"] == "none chosen"
    with pytest.raises(UserError, match="no threshold can be chosen"):
        evaluate(grey, write_samples(2), config, catalogue, **KNOWN)


def test_a_stored_evaluation_is_read_back_equal_with_its_masks(catalogue, write_samples, tmp_path):
    run = RunDir.new(tmp_path, "grey")
    samples = write_samples(3, fov=True)
    result = evaluate(grey, samples, CHOSEN, catalogue, run=run, weights_sha256="a" * 64, **KNOWN)
    assert run.scores("val") == result.scores
    assert json.loads((run.evaluation("val") / "summary.json").read_text()) == {**result.summary, "leaks": []}
    assert result.summary["weights_sha256"] == "a" * 64
    for sample, row in zip(samples, result.scores.rows, strict=True):
        with Image.open(run.prediction_file("val", sample.id)) as image:
            stored = np.asarray(image)
        assert mask_sha256(stored) == row.mask_sha256
        assert np.array_equal(stored, grey([load_example(sample)])[0].mask(result.scores.threshold))


def test_the_second_observer_is_scored_as_a_prediction(catalogue, write_samples, tmp_path):
    run = RunDir.new(tmp_path, "grey")
    result = evaluate(
        grey, write_samples(3, observers=True), CHOSEN, catalogue, run=run, weights_sha256="a" * 64, **KNOWN
    )
    rows = read_jsonl(run.observer_file("val"))
    assert [row["id"] for row in rows] == ["eye 0", "eye 1", "eye 2"]
    assert [row["values"]["dice"] for row in rows] == pytest.approx([0.75] * 3, abs=1e-6)  # 4 rows shifted by one
    assert result.summary["observer2"]["images"] == 3
    assert result.summary["observer2"]["metrics"]["dice"]["mean"] == pytest.approx(0.75, abs=1e-6)


def test_without_a_second_observer_none_is_stored_and_an_earlier_one_goes(catalogue, write_samples, tmp_path):
    run = RunDir.new(tmp_path, "grey")
    stored = {"run": run, "weights_sha256": "a" * 64}
    evaluate(grey, write_samples(2, observers=True), FIXED, catalogue, **stored, **KNOWN)
    assert run.observer_file("val").exists()
    result = evaluate(grey, write_samples(2), FIXED, catalogue, **stored, **KNOWN)
    assert not run.observer_file("val").exists()
    assert "observer2" not in result.summary


@pytest.mark.parametrize("more", [{"weights_sha256": ""}, {"weights_sha256": "a" * 64, "limit": 1}])
def test_part_of_a_set_or_scores_of_unnamed_weights_are_not_stored(catalogue, write_samples, tmp_path, more):
    run = RunDir.new(tmp_path, "grey")
    with pytest.raises(ValueError, match="whole set"):
        evaluate(grey, write_samples(2), FIXED, catalogue, run=run, **more, **KNOWN)
    assert list(run.path.iterdir()) == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda examples: grey(examples)[1:], "missing: eye 0"),
        (lambda examples: [*grey(examples), *grey(examples)[:1]], "doubled: eye 0"),
        (lambda examples: [*grey(examples), Prediction("x", np.zeros((2, 2), np.float32))], "extra: x"),
        (lambda examples: grey(examples)[::-1], "'eye 1' was given for sample 'eye 0'"),
    ],
)
def test_a_missing_doubled_extra_or_exchanged_prediction_is_an_error_with_ids(
    catalogue, write_samples, broken, message
):
    with pytest.raises(ValueError, match=message):
        evaluate(broken, write_samples(2), EvalConfig(batch_size=2), catalogue, **KNOWN)


def test_an_empty_set_and_doubled_ids_are_the_users_errors(catalogue, write_samples):
    with pytest.raises(UserError, match="val set is empty"):
        evaluate(grey, [], FIXED, catalogue, **KNOWN)
    samples = write_samples(2)
    with pytest.raises(UserError, match="two samples have the id 'eye 0'"):
        evaluate(grey, [samples[0], samples[1], samples[0]], FIXED, catalogue, **KNOWN)


def test_only_the_validation_set_may_choose_its_threshold():
    assert known_threshold(CHOSEN, "val", None) == (None, "validation")
    assert known_threshold(CHOSEN, "test", 0.35) == (0.35, "validation")
    assert known_threshold(FIXED, "test", None) == (0.5, "recipe")
    for name in ("train", "test"):
        with pytest.raises(UserError, match=f"the {name} set needs the threshold"):
            known_threshold(CHOSEN, name, None)


def test_a_threshold_that_contradicts_the_recipe_is_refused():
    assert known_threshold(FIXED, "test", 0.5) == (0.5, "recipe")
    with pytest.raises(UserError, match=r"threshold 0\.4 was given, but evaluation\.threshold is 0\.5"):
        known_threshold(FIXED, "test", 0.4)


def test_a_metric_that_is_not_registered_is_named_with_the_nearest(catalogue, write_samples):
    with pytest.raises(UserError, match="no metric named 'dise'") as caught:
        evaluate(grey, write_samples(1), EvalConfig(metrics=["dise"], primary="dise"), catalogue, **KNOWN)
    assert "'dice'" in caught.value.hint


class Choking:
    """Somebody's metric that fails on one image."""

    name, better, version, kind = "choking", "higher", 1, "none"

    def __call__(self, prediction, example):
        if example.sample.id == "eye 2":
            raise ZeroDivisionError("no vessel there")
        return 1.0


@pytest.mark.parametrize("threshold", [0.5, "validation"])
def test_an_error_while_scoring_in_any_thread_names_the_sample(catalogue, write_samples, threshold):
    catalogue.metrics.add("somebody", Choking())
    config = EvalConfig(threshold=threshold, metrics=["dice", "choking"])
    with pytest.raises(ZeroDivisionError, match="no vessel there") as caught:
        evaluate(grey, write_samples(4), config, catalogue, **KNOWN)
    assert caught.value.__notes__ == ["while sample 'eye 2' was scored"]


def test_the_summary_names_the_device_that_the_predicting_object_states(catalogue, write_samples):
    samples = write_samples(1)
    assert evaluate(Counted("cpu").predict, samples, FIXED, catalogue, **KNOWN).summary["device"] == "cpu"
    assert evaluate(grey, samples, FIXED, catalogue, **KNOWN).summary["device"] is None


def test_the_seconds_are_those_of_prediction(catalogue, write_samples):
    summary = evaluate(grey, write_samples(3), CHOSEN, catalogue, **KNOWN).summary
    assert 0 < summary["seconds"] < 5
    assert summary["images_per_second"] == pytest.approx(3 / summary["seconds"])
