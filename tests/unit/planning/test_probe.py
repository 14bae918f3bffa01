"""Seconds by a few real steps: two unknowns from two sizes of micro-batch, told where they come from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.errors import UserError
from vesselbench.planner import make_plan, recalibrated
from vesselbench.planning.probe import Probed, calibrate, probed_micros
from vesselbench.plugins import load_catalogue
from vesselbench.probing import calibrated
from vesselbench.recipes import load_recipe

CATALOGUE = load_catalogue()


def a_recipe(*overrides):
    small = ["data.options.images=10", "data.options.size=64", "configure=[]", "train.augment.crop=64"]
    return load_recipe("unet", CATALOGUE, (), [*small, *overrides])[0]


@pytest.fixture(scope="module")
def plan():
    return make_plan(a_recipe("train.batch_size=8", "train.zero_stage=0"), CATALOGUE, 1)


@given(st.floats(0, 10), st.floats(0, 10))
def test_both_unknowns_are_found_again(each, rest):
    probed = [Probed(micro, 8, 8 / micro * each + rest) for micro in (1, 2)]
    found = calibrate(probed)
    assert found.seconds(8, 8) == pytest.approx(each + rest, abs=1e-6)


def test_where_noise_turns_the_order_around_it_is_said():
    found = calibrate([Probed(1, 8, 1.0), Probed(2, 8, 1.2)])
    assert found.seconds(8, 8) == found.seconds(8, 1) == pytest.approx(1.1)
    assert "noise" in found.lines[-1]


@pytest.mark.parametrize(
    ("micro", "most", "wanted"), [(1, 8, [1, 4]), (1, 3, [1, 2]), (4, 8, [4, 8]), (8, 8, [8, 4]), (1, 1, [1])]
)
def test_the_other_size_divides_the_same_batch_and_fits(micro, most, wanted):
    assert probed_micros(a_recipe("train.batch_size=8", f"train.micro_batch={micro}"), 1, most) == wanted


def test_a_batch_of_one_has_one_size():
    assert probed_micros(a_recipe("train.batch_size=2"), 2, 8) == [1]
    assert "one size" in calibrate([Probed(1, 1, 2.0)]).lines[-1]


def test_the_plan_takes_the_seconds_that_were_measured_and_stages_keep_their_ratio(plan):
    found = recalibrated(plan, calibrate([Probed(8, 8, 2.0), Probed(4, 8, 3.0)]))
    assert found.own.seconds.total == pytest.approx(2.0)
    assert found.hours(found.own) == pytest.approx(2.0 * plan.steps / 3600)
    seconds = {(one.setting.stage, one.setting.micro_batch): one.seconds.total for one in found.ranked}
    before = {(one.setting.stage, one.setting.micro_batch): one.seconds.total for one in plan.ranked}
    assert seconds[0, 1] == pytest.approx(9.0)
    assert seconds[3, 4] / seconds[0, 4] == pytest.approx(before[3, 4] / before[0, 4])
    assert [one.fits for one in found.ranked] == [one.fits for one in plan.ranked]


def test_a_probe_measures_real_steps_in_a_process_of_its_own(plan):
    found = calibrated(plan, a_recipe("train.batch_size=8", "train.zero_stage=0"))
    assert found.calibration is not None
    assert found.own.seconds.total == pytest.approx(found.calibration.seconds(8, 8))
    assert 1e-4 < found.own.seconds.total < 60


def test_a_device_that_is_not_here_cannot_be_probed():
    recipe = a_recipe("train.batch_size=8", "train.device=cpu")
    with pytest.raises(UserError, match="no rtx3090"):
        calibrated(make_plan(recipe, CATALOGUE, 1, "rtx3090"), recipe)
