"""What every registered metric must do, whoever wrote it."""

from pathlib import Path

import numpy as np
import pytest

from vesselbench.config import MetricOptions
from vesselbench.evaluation.pair import MaskPair
from vesselbench.evaluation.policy import case_of, policy_value
from vesselbench.evaluation.score import metric_value, score
from vesselbench.plugins import load_catalogue
from vesselbench.types import Example, Prediction, Sample

METRICS = load_catalogue().metrics
SIZE = (40, 56)


def vessels(seed: int = 0) -> np.ndarray:
    """Two crossing strips, shifted by the seed."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (abs(rows - 12 - seed % 9) < 3) | (abs(columns - rows - 5 + seed % 7) < 4)


def example_of(mask, fov=None) -> Example:
    return Example(Sample("a", Path("a.png"), None), np.zeros((*mask.shape, 3), np.uint8), mask, fov)


def prediction_of(mask, sure=False) -> Prediction:
    return Prediction("a", (mask if sure else np.where(mask, 0.8, 0.3)).astype(np.float32))


def value_of(metric, predicted, reference, fov=None, sure=False):
    return score(prediction_of(predicted, sure), example_of(reference, fov), [metric]).values[metric.name]


def test_the_built_in_metrics_are_registered():
    assert {"dice", "iou", "pixel_accuracy"} <= set(METRICS)


every_metric = pytest.mark.parametrize("metric", list(METRICS.values()), ids=list(METRICS))


@every_metric
def test_it_states_its_name_direction_version_kind_and_definition(metric):
    assert METRICS[metric.name] is metric
    assert metric.better in ("higher", "lower")
    assert type(metric.version) is int
    assert metric.version >= 1
    assert metric.kind in ("overlap", "distance", "none")
    assert len((type(metric).__doc__ or "").strip()) > 20


@every_metric
def test_a_mask_against_itself_is_perfect_and_nothing_beats_it(metric):
    itself = value_of(metric, vessels(), vessels(), sure=True)
    perfect = {"overlap": 1.0, "distance": 0.0, "none": itself}[metric.kind]
    assert itself == perfect
    sign = 1 if metric.better == "higher" else -1
    generator = np.random.default_rng(0)
    others = [vessels(seed) for seed in range(1, 6)] + [~vessels(), generator.random(SIZE) < 0.5]
    values = [value for other in others if (value := value_of(metric, other, vessels(), sure=True)) is not None]
    assert all(sign * value <= sign * itself for value in values)
    assert any(value != itself for value in values)


@every_metric
def test_every_value_is_a_finite_float_and_an_overlap_lies_between_0_and_1(metric):
    generator = np.random.default_rng(1)
    for density in (0.01, 0.2, 0.9):
        value = value_of(metric, generator.random(SIZE) < density, vessels())
        assert value is None or type(value) is float
        if metric.kind == "overlap":
            assert 0 <= value <= 1
        if metric.kind == "distance":
            assert value >= 0


@every_metric
@pytest.mark.parametrize("turn", [np.fliplr, np.flipud, np.rot90, np.transpose], ids=lambda turn: turn.__name__)
def test_turning_both_masks_changes_nothing(metric, turn):
    predicted, reference, fov = vessels(3), vessels(), np.ones(SIZE, bool)
    fov[:, :8] = False
    turned = [np.ascontiguousarray(turn(mask)) for mask in (predicted, reference, fov)]
    assert value_of(metric, *turned) == pytest.approx(value_of(metric, predicted, reference, fov), abs=1e-6)


@every_metric
def test_pixels_outside_the_field_of_view_change_nothing(metric):
    fov = np.zeros(SIZE, bool)
    fov[4:36, 6:50] = True
    predicted, reference = vessels(3), vessels()
    inside = value_of(metric, predicted, reference, fov)
    generator = np.random.default_rng(2)
    for _ in range(3):
        noise = generator.random(SIZE) < 0.5
        assert value_of(metric, np.where(fov, predicted, noise), np.where(fov, reference, ~noise), fov) == inside


@every_metric
def test_a_full_field_of_view_is_the_same_as_none(metric):
    full = value_of(metric, vessels(3), vessels(), np.ones(SIZE, bool))
    assert full == value_of(metric, vessels(3), vessels())


@every_metric
@pytest.mark.parametrize("predicted", [True, False], ids=["something predicted", "nothing predicted"])
@pytest.mark.parametrize("present", [True, False], ids=["something there", "nothing there"])
def test_empty_masks_score_what_the_policy_says(metric, predicted, present):
    masks = [vessels() if filled else np.zeros(SIZE, bool) for filled in (predicted, present)]
    case = case_of(*masks, None)
    expected = policy_value(metric.kind, case, SIZE)
    if expected is None:
        expected = metric(prediction_of(masks[0]), example_of(masks[1]))
    assert value_of(metric, *masks) == expected


@every_metric
def test_a_mask_that_is_empty_only_in_the_field_of_view_counts_as_empty(metric):
    fov = np.zeros(SIZE, bool)
    fov[:, :6] = True
    reference = np.zeros(SIZE, bool)
    reference[:, 20:] = True
    predicted = np.ones(SIZE, bool)
    expected = policy_value(metric.kind, "empty_reference", SIZE)
    if expected is None:
        pair = MaskPair.of(prediction_of(predicted), example_of(reference & fov, fov), MetricOptions())
        expected = metric_value(metric, pair)
    assert value_of(metric, predicted, reference, fov) == expected


@every_metric
def test_the_same_input_gives_the_same_value_and_is_left_as_it_was(metric):
    prediction, example = prediction_of(vessels(3)), example_of(vessels())
    before = prediction.probability.copy(), example.mask.copy()
    assert metric(prediction, example) == metric(prediction, example)
    assert np.array_equal(prediction.probability, before[0])
    assert np.array_equal(example.mask, before[1])


@every_metric
def test_its_definition_stands_in_the_page_of_metrics_with_its_version_and_direction(metric):
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.startswith(f"| `{metric.name}` |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1:3] == [str(metric.version), metric.better]
    assert cells[-1] == metric.kind
