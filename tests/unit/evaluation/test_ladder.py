"""Every rung is what its sentence says, scored like a model; a stored ladder is used again and a damaged one named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import label

from vesselbench.config import DataConfig, EvalConfig, Recipe
from vesselbench.contest import obtain_ladder
from vesselbench.data.dataset import load_dataset
from vesselbench.errors import UserError
from vesselbench.evaluation.classical import Frangi, Otsu, choose_frangi, choose_otsu
from vesselbench.evaluation.ladder import broken, dilated, eroded, ladder_key, measure_ladder, shifted
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import dump_recipe
from vesselbench.rundir import RunDir, write_json, write_text
from vesselbench.types import Example, Sample

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))
ORDER = ["empty", "all_foreground", "reference", "shifted", "dilated", "eroded", "broken", "otsu", "frangi"]


@given(MASKS, st.integers(0, 3))
def test_a_shift_moves_every_pixel_by_one_and_draws_nothing_at_the_edge(mask, direction):
    step = [(1, 0), (-1, 0), (0, 1), (0, -1)][direction]
    padded = np.pad(mask, 1)
    moved = np.roll(padded, step, axis=(0, 1))[1:-1, 1:-1]
    assert np.array_equal(shifted(mask, direction), moved)


@given(MASKS)
def test_eroding_takes_away_dilating_adds_and_the_one_is_the_other_of_the_background(mask):
    assert not (eroded(mask) & ~mask).any()
    assert not (mask & ~dilated(mask)).any()
    assert np.array_equal(eroded(mask), ~dilated(~mask))


def test_gaps_break_a_vessel_at_the_places_of_the_seed_and_leave_the_rest():
    mask = np.zeros((40, 400), bool)
    mask[18:23, 5:395] = True
    cut = broken(mask, 3)
    assert np.array_equal(cut, broken(mask, 3))
    assert not np.array_equal(cut, broken(mask, 4))
    assert not (cut & ~mask).any()
    assert label(cut)[1] > 1
    assert cut.sum() > 0.8 * mask.sum()
    assert not broken(np.zeros((4, 4), bool), 0).any()


def tubes(dark: bool, seed: int = 0) -> Example:
    rows, columns = np.mgrid[:64, :64]
    mask = (abs(rows - 20) < 3) | (abs(rows - columns) < 3)
    grey = 120 + np.where(mask, -60 if dark else 60, 0) + np.random.default_rng(seed).normal(0, 6, mask.shape)
    image = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)
    return Example(Sample(f"tube {seed}", Path("a.png"), None), image, mask)


@pytest.mark.parametrize("dark", [True, False])
def test_the_filters_find_the_side_of_the_vessels_by_themselves(dark):
    examples = [tubes(dark, seed) for seed in (0, 1)]
    otsu, frangi = choose_otsu(examples), choose_frangi(examples)
    assert (otsu.dark, frangi.dark) == (dark, dark)
    for one in (otsu, frangi):
        found, mask = one.mask(examples[0]), examples[0].mask
        assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.7
        assert ("dark" if dark else "bright") in one.words


def test_a_filter_predicts_nothing_outside_the_field_of_view_nor_on_an_even_image():
    example = tubes(True)
    view = np.zeros((64, 64), bool)
    view[:, :40] = True
    seen = Example(example.sample, example.image, example.mask, view)
    for one in (Otsu(True), Frangi(True, (1.0, 2.0), 0.2)):
        assert one.mask(seen).any()
        assert not one.mask(seen)[:, 40:].any()
    even = Example(example.sample, np.full_like(example.image, 90), example.mask)
    assert not Frangi(True, (1.0, 2.0), 0.2).mask(even).any()


OPTIONS = {"images": 12, "size": 64, "per_group": 2}


@pytest.fixture(scope="module")
def dataset():
    return load_dataset(DataConfig(options=OPTIONS), load_catalogue())


@pytest.fixture(scope="module")
def measured(dataset):
    config = EvalConfig(metrics=["dice", "sensitivity", "auc", "cldice", "hd95", "nsd", "recall_by_width"])
    return measure_ladder(dataset.of("test"), dataset.of("val"), config, load_catalogue())


def test_the_rungs_stand_in_order_and_score_what_they_must(measured, dataset):
    assert [rung.name for rung in measured.rungs] == ORDER
    means = {rung.name: rung.mean("dice") for rung in measured.rungs}
    assert (means["empty"], means["reference"]) == (0.0, 1.0)
    assert all(0 < means[name] < 1 for name in ORDER if name not in ("empty", "reference"))
    assert means["all_foreground"] < min(means["shifted"], means["dilated"], means["broken"])
    assert measured.rung("all_foreground").mean("sensitivity") == 1.0
    assert measured.rung("shifted").mean("hd95") == 1.0
    assert measured.rung("shifted").mean("nsd") == 1.0
    assert measured.rung("reference").metrics["auc"]["reasons"] == {
        "a mask has no probabilities": len(dataset.of("test"))
    }
    assert measured.rung("empty").cases["empty_prediction"] == len(dataset.of("test"))
    assert measured.noise_floor("dice") == pytest.approx(1 - means["shifted"])
    assert "validation" in measured.rung("frangi").definition


class Lines:
    def __init__(self):
        self.lines = []

    def line(self, text):
        self.lines.append(text)

    def progress(self, *_):
        pass


@pytest.fixture
def phantom_run(tmp_path, dataset):
    """A finished run of the session's phantoms, as far as a ladder needs it."""
    run = RunDir.new(tmp_path / "runs", "unet")
    scoring = {"metrics": ["dice"]}
    recipe = Recipe(name="unet", model={"name": "unet"}, data={"options": OPTIONS}, evaluation=scoring)
    write_text(run.config, dump_recipe(recipe))
    run.write_split(dataset.split)
    return run


def test_a_ladder_is_measured_once_and_a_damaged_one_again(phantom_run, tmp_path):
    catalogue, watch = load_catalogue(), Lines()
    first = obtain_ladder(phantom_run, "test", tmp_path / "runs", catalogue, watch)
    (path,) = (tmp_path / "runs" / "ladder").iterdir()
    assert sum("measuring the ladder" in line for line in watch.lines) == 1
    assert obtain_ladder(phantom_run, "test", tmp_path / "runs", catalogue, watch) == first
    assert sum("measuring the ladder" in line for line in watch.lines) == 1
    write_json(path, {"rungs": []})
    assert obtain_ladder(phantom_run, "test", tmp_path / "runs", catalogue, watch) == first
    assert any("is not a ladder" in line and "measured again" in line for line in watch.lines)


def test_the_key_follows_data_sets_metrics_and_options():
    catalogue = load_catalogue()
    plain = EvalConfig(metrics=["dice", "nsd"])
    other = EvalConfig(metrics=["dice", "nsd"], options={"tolerance": 3.0})
    keys = {
        ladder_key("f", ["a"], ["b"], plain, catalogue),
        ladder_key("g", ["a"], ["b"], plain, catalogue),
        ladder_key("f", ["a", "c"], ["b"], plain, catalogue),
        ladder_key("f", ["a"], ["c"], plain, catalogue),
        ladder_key("f", ["a"], ["b"], EvalConfig(metrics=["dice"]), catalogue),
        ladder_key("f", ["a"], ["b"], other, catalogue),
    }
    assert len(keys) == 6


def test_a_recipe_cannot_take_the_folder_of_the_ladders():
    with pytest.raises(ValueError, match="'ladder' is a folder"):
        Recipe(name="ladder", model={"name": "unet"})


def test_data_that_are_gone_stop_the_ladder(phantom_run, tmp_path):
    phantom_run.write_split(replace(phantom_run.split(), fingerprint="0" * 64))
    with pytest.raises(UserError, match="have changed"):
        obtain_ladder(phantom_run, "test", tmp_path / "runs", load_catalogue(), Lines())
