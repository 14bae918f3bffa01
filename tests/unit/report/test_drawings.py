"""Plots come out whole for every shape of comparison, and say in words what they show."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from vesselbench.compare import compare, with_ladder
from vesselbench.ladder import Ladder, Rung
from vesselbench.report.drawings.costs import clock_ticks, seconds
from vesselbench.report.svg import standalone
from vesselbench.report.view import plots_of
from vesselbench.rundir import write_jsonl


def checked(comparison) -> dict[str, str]:
    """Every plot by name, after a look at each: well-formed, inside its frame, without anything that is no number."""
    found = {}
    for plot in [plot for section in plots_of(comparison).values() for plot in section]:
        root = ET.fromstring(standalone(plot.svg))
        assert root.attrib["aria-label"] == plot.alt
        assert "nan" not in plot.svg
        assert "inf" not in re.sub(r"inf[a-z]+", "", plot.svg)
        _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
        for dot in root.iter("{http://www.w3.org/2000/svg}circle"):
            assert 0 <= float(dot.attrib["cx"]) <= width
            assert 0 <= float(dot.attrib["cy"]) <= height
        found[plot.name] = plot.alt
    return found


def rung(name: str, dice: float | None) -> Rung:
    return Rung(name, f"What {name} is.", {"dice": {"mean": dice}}, {"ok": 3})


@pytest.fixture
def comparison_of(write_run):
    def make(images: int, runs: int, **more):
        rng = np.random.default_rng(0)
        values = [{f"i{n}": float(rng.uniform(0.4, 0.9)) for n in range(images)} for _ in range(runs)]
        return compare([write_run(f"run{k}", value, **more) for k, value in enumerate(values)])

    return make


@pytest.mark.parametrize(("images", "runs"), [(1, 1), (3, 2), (100, 2), (8, 7)])
def test_every_number_of_images_and_runs_can_be_drawn(comparison_of, images, runs):
    found = checked(comparison_of(images, runs))
    assert {"scores", "cost-parameters", "cost-training-time"} <= found.keys()
    assert ("against" in found) == ("differences" in found) == (runs > 1)


def test_missing_values_a_second_observer_and_no_value_at_all_can_be_drawn(write_run):
    values = {"x": 0.5, "y": None, "z": 0.7}
    assert "second observer 0.600" in checked(
        compare([write_run(name, values, observer2=dict.fromkeys(values, 0.6)) for name in "ab"])
    )["scores"]  # fmt: skip
    assert "scores" not in checked(compare([write_run(name, {"x": None, "y": None}) for name in "cd"]))


def test_equal_values_and_a_distance_can_be_drawn(write_run):
    assert checked(compare([write_run(name, {"x": 40.0, "y": 40.0}, better="lower") for name in "ab"]))


def test_the_texts_say_what_the_plots_show(write_run):
    found = checked(compare([write_run("a", {"x": 0.75, "y": 0.5}), write_run("b", {"x": 0.5, "y": 0.5})]))
    assert found["scores"] == "dice of each of 2 images for each run; means: a 0.625, b 0.500"
    assert "a minus b for each of 2 images, sorted; mean +0.125" in found["differences"]
    assert found["against"].endswith("a better on 1, equal on 1, worse on 0")


def test_names_with_markup_in_them_stay_text(write_run):
    assert checked(compare([write_run(name, {"<b>&\"'": 0.5, "y": 0.7}) for name in "ab"]))


def test_widths_and_calibration_are_drawn_where_they_were_measured(write_run):
    metrics = {"dice": {"better": "higher"}}
    for place, name in enumerate(("recall@0-2px", "recall@2px+")):
        metrics[name] = {"better": "higher", "family": "recall_by_width", "bin": place}
    curve = {"count": [10.0, 0.0, 30.0], "probability": [0.1, None, 0.9], "vessel": [0.2, None, 0.5]}
    row = {"dice": 0.5, "recall@0-2px": 0.25, "recall@2px+": None}
    summary = {"metrics": metrics, "calibration": curve}
    found = checked(compare([write_run(name, {"x": row, "y": row}, summary=summary) for name in "ab"]))
    assert found["widths-recall"] == "Mean recall by vessel width. a: 0-2px 0.250, 2px+ –; b: 0-2px 0.250, 2px+ –"
    assert "a: error over all pixels 0.325" in found["calibration"]


def test_time_to_quality_takes_every_validation_of_every_run(write_run):
    runs = [write_run(name, {"x": 0.5, "y": 0.7}) for name in "ab"]
    for run in runs:
        lines = [{"step": s, "train_seconds": 10.0 * s, "threshold": 0.5, "means": {"dice": s / 10}} for s in (1, 2)]
        write_jsonl(run.validation_log, lines)
    assert checked(compare(runs))["time-to-quality"].endswith("a 0.200 after 20 s; b 0.200 after 20 s")


def test_the_ladder_stands_in_the_order_of_its_scores_with_the_runs_in_it(write_run):
    ladder = Ladder((rung("empty", 0.0), rung("reference", 1.0), rung("shifted", 0.85), rung("otsu", None)))
    comparison = with_ladder(compare([write_run(name, {"x": 0.5, "y": 0.7}) for name in "ab"]), ladder)
    assert checked(comparison)["ladder"].endswith("reference 1.000, shifted 0.850, b 0.600, a 0.600, empty 0.000")


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (80, 150, ["2 min"]),
        (70, 2000, ["2 min", "5 min", "10 min", "30 min"]),
        (0.4, 3, ["1 s", "2 s"]),
        (1, 90 * 86400, ["1 s", "30 s", "10 min", "5 h", "5 d"]),
    ],
)
def test_times_are_marked_where_a_clock_has_round_ones(low, high, shown):
    assert [seconds(tick) for tick in clock_ticks(low, high)] == shown


def test_times_between_two_round_ones_have_plain_ticks():
    assert clock_ticks(130, 280) is None
