"""Rows of a plan that are computed for the terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vesselbench.planner import make_plan
from vesselbench.planning.workload import Setting
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import load_recipe
from vesselbench.terminal.plans import _gain


@pytest.fixture(scope="module")
def plan():
    catalogue = load_catalogue()
    recipe, _ = load_recipe("sa2va-8b-the-job", catalogue, overrides=["data.options.images=8"])
    return make_plan(recipe, catalogue, 4, "rtx3090", "pcie3")


def test_energy_is_the_devices_full_power_over_the_hours(plan):
    timed = replace(plan, own=replace(plan.own, seconds=plan.own.seconds.times(2)), steps=100)
    hours = 100 * 2 * plan.own.seconds.total / 3600
    assert timed.hours(timed.own) == pytest.approx(hours)
    assert timed.kilowatt_hours(timed.own) == pytest.approx(hours * 4 * 350 / 1000)


def test_ranks_on_a_processor_share_its_power(plan):
    one = replace(plan, device=plan.device.model_copy(update={"kind": "cpu", "watts": 30.0}))
    assert one.kilowatt_hours(one.own) == pytest.approx(one.hours(one.own) * 30 / 1000)


def test_what_the_clock_ends_has_neither_hours_nor_energy(plan):
    assert replace(plan, steps=None).kilowatt_hours(plan.own) is None


def test_a_gain_names_words_arrangement_seconds_and_factor(plan):
    best = replace(plan.own, setting=replace(plan.own.setting, micro_batch=4), seconds=plan.own.seconds.times(0.25))
    assert _gain(plan, best).startswith(
        "train.micro_batch=4: 2 x 4 instead of 8 x 1 per rank, the same effective batch"
    )
    assert _gain(plan, best).endswith("4.00 times as fast")
    other = replace(best, setting=Setting(1, 1, False, "optimizer"))
    assert _gain(plan, other).startswith(
        "train.zero_stage=1 model.checkpointing=false train.offload.optimizer=cpu: 8 x 1 per rank, the same"
    )
    assert _gain(plan, None) == ""


def test_the_recipes_own_setting_is_no_gain_and_what_does_not_fit_is_none(plan):
    alone = replace(plan, ranked=(plan.own,))
    assert alone.larger is None
    assert alone.fastest is None
    assert replace(plan, ranked=tuple(replace(one, fits=False) for one in plan.ranked)).fastest is None
    assert plan.fastest is not None
    assert plan.fastest.fits
    assert plan.larger is not None
    assert plan.larger.setting.words == plan.own.setting.words
    assert plan.larger.setting.micro_batch > plan.own.setting.micro_batch
