"""Every metric against somebody else's arithmetic, and the properties that a right one has, on any masks."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from monai.metrics import (
    compute_dice,
    compute_hausdorff_distance,
    compute_iou,
    compute_roc_auc,
    compute_surface_dice,
)
from monai.metrics.calibration import calibration_binning
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist
from skimage.measure import euler_number, label
from skimage.morphology import skeletonize

from vesselbench.config import MetricOptions
from vesselbench.evaluation.pair import TURNS, turned
from vesselbench.evaluation.score import score
from vesselbench.plugins import load_catalogue
from vesselbench.types import Example, Prediction, Sample

CATALOGUE = load_catalogue()
METRICS = list(CATALOGUE.metrics.values())
NAMES = list(CATALOGUE.metrics)
SYMMETRIC = ["dice", "iou", "pixel_accuracy", "hd95", "nsd", "betti0_error", "betti1_error"]
SHAPES = st.tuples(st.integers(1, 14), st.integers(1, 14))
HALF = st.integers(0, 1).map(bool)


@st.composite
def mask_pairs(draw, filled=False):
    shape = draw(SHAPES)
    masks = [draw(arrays.arrays(np.bool_, shape)) for _ in range(2)]
    if filled:
        assume(all(mask.any() for mask in masks))
    return masks


def line(rows: int, columns: int, *places: tuple[slice | int, slice | int]) -> np.ndarray:
    mask = np.zeros((rows, columns), bool)
    for place in places:
        mask[place] = True
    return mask


ALL = slice(None)
PATHOLOGICAL = {
    "a line of one pixel": line(16, 20, (8, slice(2, 18))),
    "a loop": line(16, 20, (slice(3, 13), slice(4, 16))) & ~line(16, 20, (slice(5, 11), slice(6, 14))),
    "touching every border": line(16, 20, (0, ALL), (-1, ALL), (ALL, 0), (ALL, -1)),
    "one pixel": line(16, 20, (7, 9)),
    "full": np.ones((16, 20), bool),
    "empty": np.zeros((16, 20), bool),
    "two vessels that cross": line(16, 20, (slice(6, 9), ALL), (ALL, slice(9, 12))),
    "a diagonal": np.eye(16, 20, dtype=bool),
}
EVERY_TWO = [(a, b) for a in PATHOLOGICAL for b in PATHOLOGICAL]


def values(predicted, reference, names=NAMES, probability=None, options=None, fov=None):
    example = Example(Sample("a", Path("a.png"), None), np.zeros((*reference.shape, 3), np.uint8), reference, fov)
    prediction = Prediction("a", predicted.astype(np.float32) if probability is None else probability)
    chosen = [CATALOGUE.metrics[name] for name in names]
    if options is not None:
        chosen = [one for metric in chosen for one in metric.configured(options)]
    return dict(score(prediction, example, chosen, options or MetricOptions()).values)


def as_monai(mask):
    return torch.from_numpy(mask[None, None])


def by_monai(predicted, reference):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6.1 calls itself with an argument that it deprecates
        a, b = as_monai(predicted), as_monai(reference)
        return {
            "dice": compute_dice(a, b, ignore_empty=False),
            "iou": compute_iou(a, b, ignore_empty=False),
            "hd95": compute_hausdorff_distance(a, b, include_background=True, percentile=95),
            "nsd": compute_surface_dice(a, b, [2.0], include_background=True),
        }


def topology(predicted, reference):
    """Topology precision and sensitivity as the images lie, by scikit-image alone."""
    drawn, there = (skeletonize(mask, method="zhang") for mask in (predicted, reference))
    return float(reference[drawn].mean()), float(predicted[there].mean())


@settings(max_examples=60, deadline=None)
@given(mask_pairs(filled=True))
def test_overlaps_and_distances_are_monais_where_no_mask_is_empty(masks):
    ours = values(*masks, names=["dice", "iou", "hd95", "nsd"])
    theirs = {name: float(value) for name, value in by_monai(*masks).items()}
    assert ours == pytest.approx(theirs, abs=5e-6)  # MONAI's quantile is one of single precision


def loop_over_pixels(predicted, reference, fov):
    """The metrics of counts, by plain Python; None where a formula divides by 0."""
    tp = fp = fn = tn = 0
    for drawn, there, seen in zip(predicted.flat, reference.flat, fov.flat, strict=True):
        if seen:
            tp, fp, fn, tn = tp + (drawn and there), fp + (drawn and not there), fn + (there and not drawn), tn + 1
    tn -= tp + fp + fn
    both_empty = 1.0 if not tp + fp + fn else None  # the policy; one empty mask scores 0 by the formulas, or by it
    return {
        "dice": both_empty or 2 * tp / (2 * tp + fp + fn),
        "iou": both_empty or tp / (tp + fp + fn),
        "precision": both_empty or (tp / (tp + fp) if tp + fp else 0.0),
        "sensitivity": both_empty or (tp / (tp + fn) if tp + fn else 0.0),
        "specificity": tn / (tn + fp) if tn + fp else None,
        "pixel_accuracy": (tp + tn) / (tp + fp + fn + tn),
    }


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_metrics_of_counts_are_those_of_a_loop_over_the_pixels_in_the_field_of_view(data):
    shape = data.draw(SHAPES)
    predicted, reference, fov = (data.draw(arrays.arrays(np.bool_, shape)) for _ in range(3))
    assume(fov.any())
    expected = loop_over_pixels(predicted, reference, fov)
    assert values(predicted, reference, names=list(expected), fov=fov) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_lies_outside_the_field_of_view_changes_no_value(data):
    shape = data.draw(SHAPES)
    predicted, reference, fov, drawn, there = (data.draw(arrays.arrays(np.bool_, shape)) for _ in range(5))
    assume(fov.any())
    probability = np.where(predicted, 0.75, 0.25).astype(np.float32)
    before = values(predicted, reference, probability=probability, options=MetricOptions(), fov=fov)
    noisy = np.where(fov, probability, np.where(drawn, 1, 0)).astype(np.float32)
    after = values(predicted, np.where(fov, reference, there), probability=noisy, options=MetricOptions(), fov=fov)
    assert before == after
    assert all(value is None or np.isfinite(value) for value in after.values())


@pytest.mark.parametrize(("a", "b"), EVERY_TWO)
def test_pathological_masks_score_what_brute_force_does(a, b):
    predicted, reference = PATHOLOGICAL[a], PATHOLOGICAL[b]
    found = values(predicted, reference)
    assert all(value is None or np.isfinite(value) for value in found.values())
    if not predicted.any() or not reference.any():
        alike = predicted.any() == reference.any()
        assert found["dice"] == found["cldice"] == found["nsd"] == float(alike)
        assert found["hd95"] == (0 if alike else np.hypot(*reference.shape))
        return
    edges = [np.argwhere(mask & ~binary_erosion(mask)) for mask in (predicted, reference)]
    apart = cdist(*edges)
    there, back = apart.min(axis=1), apart.min(axis=0)
    assert found["hd95"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert found["nsd"] == pytest.approx(np.mean(np.concatenate([there, back]) <= 2))
    lines = (found["topology_precision"], found["topology_sensitivity"])
    assert lines in [topology(turned(predicted, turn), turned(reference, turn)) for turn in TURNS]
    assert found["cldice"] == pytest.approx(2 * lines[0] * lines[1] / sum(lines) if any(lines) else 0)


def betti(mask):
    """Components and holes by scikit-image."""
    components = int(label(mask, connectivity=2).max())
    return components, components - int(euler_number(mask, connectivity=2))


@settings(max_examples=60, deadline=None)
@given(mask_pairs())
def test_betti_numbers_are_those_of_scikit_image(masks):
    components, holes = zip(*(betti(mask) for mask in masks), strict=True)
    found = values(*masks, names=["betti0_error", "betti1_error"])
    assert found == {"betti0_error": abs(components[0] - components[1]), "betti1_error": abs(holes[0] - holes[1])}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_area_under_the_curve_is_monais_also_with_equal_probabilities(data):
    shape = data.draw(SHAPES)
    reference = data.draw(arrays.arrays(np.bool_, shape))
    probability = data.draw(arrays.arrays(np.int64, shape, elements=st.integers(0, 6))).astype(np.float32) / 6
    found = values(reference, reference, names=["auc"], probability=probability)["auc"]
    if reference.all() or not reference.any():
        assert found is None
        return
    theirs = compute_roc_auc(torch.from_numpy(probability.ravel()), torch.from_numpy(reference.ravel().astype(int)))
    assert found == pytest.approx(theirs, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_calibration_error_is_that_of_monais_bins(data):
    shape = data.draw(SHAPES)
    reference = data.draw(arrays.arrays(np.bool_, shape))
    inner = st.integers(0, 999).map(lambda n: (n + 0.5) / 1000)  # never on the border of two bins
    probability = data.draw(arrays.arrays(np.float64, shape, elements=inner)).astype(np.float32)
    found = values(reference, reference, names=["ece"], probability=probability)["ece"]
    means, shares, counts = calibration_binning(as_monai(probability), as_monai(reference.astype(np.float32)))
    expected = (torch.nan_to_num((means - shares).abs()) * counts).sum() / counts.sum()
    assert found == pytest.approx(float(expected), abs=1e-5)


def test_a_sure_and_right_model_is_calibrated_and_a_sure_and_wrong_one_is_not():
    mask = PATHOLOGICAL["a loop"]
    assert values(mask, mask, names=["ece"])["ece"] == 0
    assert values(~mask, mask, names=["ece"])["ece"] == 1


@settings(max_examples=40, deadline=None)
@given(SHAPES.flatmap(lambda shape: arrays.arrays(np.bool_, shape)))
def test_a_mask_against_itself_is_perfect_in_every_metric(mask):
    for name, value in values(mask, mask).items():
        perfect = 0.0 if CATALOGUE.metrics[name].better == "lower" else 1.0
        assert value is None or value == perfect, name


@settings(max_examples=40, deadline=None)
@given(mask_pairs())
def test_prediction_and_reference_can_be_exchanged_where_a_metric_is_symmetric(masks):
    there, back = values(*masks, names=SYMMETRIC), values(*masks[::-1], names=SYMMETRIC)
    assert there == pytest.approx(back)
    ours, theirs = values(*masks, names=["precision"]), values(*masks[::-1], names=["sensitivity"])
    assert ours["precision"] == pytest.approx(theirs["sensitivity"])


@settings(max_examples=40, deadline=None)
@given(mask_pairs(), st.sampled_from([turn for turn in TURNS if turn]), st.data())
def test_turning_and_mirroring_everything_changes_no_value(masks, turn, data):
    fov = data.draw(arrays.arrays(np.bool_, masks[0].shape))
    assume(fov.any())
    before = values(*masks, options=MetricOptions(), fov=fov)
    after = values(*(turned(mask, turn) for mask in masks), options=MetricOptions(), fov=turned(fov, turn))
    assert after == {name: None if value is None else pytest.approx(value) for name, value in before.items()}


@pytest.mark.parametrize("step", [0, 1, 2, 3, 5, 8])
def test_a_translation_by_k_pixels_scores_what_geometry_says(step):
    width, rows = 6, 200
    reference, moved = np.zeros((rows, 60), bool), np.zeros((rows, 60), bool)
    reference[:, 20 : 20 + width] = True
    moved[:, 20 + step : 20 + width + step] = True
    found = values(moved, reference)
    common = max(0, width - step)
    assert found["dice"] == pytest.approx(common / width)
    assert found["iou"] == pytest.approx(common / (2 * width - common))
    assert found["hd95"] == pytest.approx(step, abs=0.3)
    assert (found["nsd"] > 0.97) == (step <= 2)
    assert (found["cldice"] > 0.9) == (step <= 2)
    assert (found["betti0_error"], found["betti1_error"]) == (0, 0)


@pytest.mark.parametrize("step", [(0, 0), (0, 1), (2, 0), (1, 2), (3, 4), (7, 11)])
def test_a_pixel_that_is_moved_is_as_far_away_as_it_was_moved(step):
    reference, moved = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    reference[5, 6] = moved[5 + step[0], 6 + step[1]] = True
    found = values(moved, reference, names=["hd95", "nsd", "dice"])
    assert found == {"hd95": np.hypot(*step), "nsd": float(np.hypot(*step) <= 2), "dice": float(step == (0, 0))}


@settings(max_examples=30, deadline=None)
@given(mask_pairs(), st.tuples(st.integers(0, 6), st.integers(0, 6)))
def test_moving_both_masks_alike_changes_no_value_that_knows_no_place(masks, step):
    names = [*SYMMETRIC, "precision", "sensitivity", "specificity"]  # the others' lines depend on the first position
    padding = [((1 + down, 7 - down), (1 + right, 7 - right)) for down, right in ((0, 0), step)]
    before, after = (values(*(np.pad(mask, pad) for mask in masks), names=names) for pad in padding)
    assert after == before


@settings(max_examples=30, deadline=None)
@given(mask_pairs(filled=True))
def test_eroding_any_prediction_never_gains_recall_or_adds_a_false_pixel(masks):
    predicted, reference = masks
    names = ["sensitivity", "specificity", "topology_sensitivity", "recall_by_width"]
    for _ in range(2):
        eroded = binary_erosion(predicted)
        before, now = (values(mask, reference, names, options=MetricOptions()) for mask in (predicted, eroded))
        for name, value in now.items():
            gains_nothing = name != "specificity"
            if value is not None:
                assert value <= before[name] if gains_nothing else value >= before[name], name
        predicted = eroded


def test_eroding_the_prediction_loses_what_it_must_and_never_gains_recall():
    rows, columns = np.mgrid[:60, :80]
    reference = (abs(rows - 20) < 6) | (abs(columns - rows - 10) < 8)
    before = values(reference, reference)
    eroded = reference
    for _ in range(4):
        eroded = binary_erosion(eroded, border_value=1)
        now = values(eroded, reference)
        for name in ("dice", "iou", "sensitivity", "pixel_accuracy", "recall_by_width"):
            assert now[name] < before[name]
        assert now["topology_sensitivity"] <= before["topology_sensitivity"]
        assert now["hd95"] > before["hd95"]
        assert now["precision"] == now["specificity"] == 1
        before = now


@pytest.mark.parametrize("metric", ["hd95", "nsd", "recall_by_width"])
def test_millimetres_score_as_pixels_do_when_a_pixel_is_one(metric):
    masks = PATHOLOGICAL["a loop"], PATHOLOGICAL["two vessels that cross"]
    options = MetricOptions(unit="mm")
    example = Example(Sample("a", Path("a.png"), None, spacing=(1.0, 1.0)), np.zeros((16, 20, 3), np.uint8), masks[1])
    prediction = Prediction("a", masks[0].astype(np.float32))
    chosen = CATALOGUE.metrics[metric].configured(options)
    found = score(prediction, example, chosen, options).values
    assert list(found.values()) == list(values(*masks, names=[metric], options=MetricOptions()).values())


def test_a_large_image_is_measured_whole():
    rows, columns = np.mgrid[:3000, :3000]
    reference = (abs(rows - columns) < 4) | (abs(rows - 1500) < 9) | ((rows - 900) ** 2 + (columns - 700) ** 2 < 90**2)
    predicted = np.roll(reference, 2, axis=0)
    noise = np.random.default_rng(0).random(reference.shape, np.float32) / 4
    found = values(predicted, reference, probability=predicted / np.float32(2) + noise, options=MetricOptions())
    both, drawn, there = (int(mask.sum()) for mask in (predicted & reference, predicted, reference))
    assert found["dice"] == pytest.approx(2 * both / (drawn + there), abs=1e-12)
    assert found["precision"] == pytest.approx(both / drawn, abs=1e-12)
    assert found["specificity"] == pytest.approx(1 - (drawn - both) / (reference.size - there), abs=1e-12)
    assert found["hd95"] == pytest.approx(2)
    assert found["nsd"] > 0.999
    assert found["cldice"] > 0.98
    shares = both / there, (drawn - both) / (reference.size - there)
    assert found["auc"] == pytest.approx(0.5 + (shares[0] - shares[1]) / 2, abs=1e-3)
    components, holes = zip(*(betti(mask) for mask in (predicted, reference)), strict=True)
    assert (found["betti0_error"], found["betti1_error"]) == (abs(np.subtract(*components)), abs(np.subtract(*holes)))
    assert found["recall@4-6px"] < found["sensitivity"] < found["recall@9px+"]
