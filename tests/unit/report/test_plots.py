"""Plots come out whole, for every shape of comparison, and leave nothing behind."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import _pylab_helpers, rcParams
from PIL import Image

from vesselbench.compare import compare
from vesselbench.report.plots import DARK, LIGHT, plot_differences, plot_scores, plot_texts


@pytest.fixture
def comparison_of(write_run):
    def make(images: int, runs: int, **more):
        rng = np.random.default_rng(0)
        values = [{f"i{n}": float(rng.uniform(0.4, 0.9)) for n in range(images)} for _ in range(runs)]
        return compare([write_run(f"run{k}", value, **more) for k, value in enumerate(values)])

    return make


def corner(picture: bytes) -> tuple[int, ...]:
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        assert image.format == "PNG"
        return image.convert("RGB").getpixel((0, 0))


@pytest.mark.parametrize(("images", "runs"), [(1, 1), (3, 2), (100, 2), (8, 7)])
def test_every_number_of_images_and_runs_can_be_drawn_on_both_pages(comparison_of, images, runs):
    comparison = comparison_of(images, runs)
    assert corner(plot_scores(comparison, LIGHT)) == (255, 255, 255)
    assert corner(plot_scores(comparison, DARK)) == (22, 27, 34)
    for pair in comparison.pairs[:1]:
        assert corner(plot_differences(comparison, pair, LIGHT)) == (255, 255, 255)


def test_missing_values_and_a_second_observer_can_be_drawn(write_run):
    values = {"x": 0.5, "y": None, "z": 0.7}
    runs = [write_run(name, values, observer2=dict.fromkeys(values, 0.6)) for name in "ab"]
    comparison = compare(runs)
    with_observer = plot_scores(comparison, LIGHT)
    assert corner(with_observer) == (255, 255, 255)
    assert corner(plot_differences(comparison, comparison.pairs[0], LIGHT)) == (255, 255, 255)


def test_a_plot_is_the_same_every_time_and_changes_no_global_state(comparison_of):
    comparison, before = comparison_of(5, 2), dict(rcParams)
    first = plot_scores(comparison, LIGHT)
    assert first == plot_scores(comparison, LIGHT)
    assert _pylab_helpers.Gcf.figs == {}
    assert dict(rcParams) == before


def test_the_texts_say_what_the_plots_show(write_run):
    comparison = compare([write_run("a", {"x": 0.75, "y": 0.5}), write_run("b", {"x": 0.5, "y": 0.5})])
    texts = plot_texts(comparison, comparison.pairs[0])
    assert texts["scores"] == "dice of every image for each run; means: a 0.625, b 0.500"
    assert "a minus b for each of 2 images, sorted; mean +0.125" in texts["differences"]
    assert texts["differences"].endswith("a is better on 1, equal on 1, worse on 0")
