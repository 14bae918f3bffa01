from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench import UserError
from vesselbench.planning.footing import memory_of
from vesselbench.planning.hardware import device_named, interconnect_named, names_of
from vesselbench.planning.roofline import seconds_of
from vesselbench.planning.workload import Setting, Workload, settings_of
from vesselbench.types import Costs

COSTS = Costs(6e9, 12e9, 6e9, 200_000_000, 20_000_000, 0, 0, 1_000_000_000, 1_000_000_000, "stated")
WORK = Workload(1_000_000_000, 1_000_000_000, 50_000_000, COSTS, 8, 4, "bf16")


def seconds(stage, micro, work=WORK, device="a100-40", link="pcie4"):
    return seconds_of(work, Setting(stage, micro, False, "none"), device_named(device), interconnect_named(link))


def test_volumes_are_those_of_the_paper():
    # Rajbhandari et al. 2020, section 7: 2 x the parameters below stage 3, 3 x at stage 3, of which a ring sends 3/4
    whole = 2 * WORK.total * 3 / 4
    assert [seconds(stage, 8).sent / whole for stage in range(4)] == pytest.approx([2, 2, 2, 3])


def test_accumulation_repeats_the_traffic_of_stages_2_and_3_alone():
    assert [seconds(stage, 1).sent / seconds(stage, 8).sent for stage in range(4)] == pytest.approx([1, 1, 4.5, 8])


def test_one_rank_sends_nothing():
    alone = replace(WORK, world=1)
    assert [seconds(stage, 1, alone).communication for stage in range(4)] == [0, 0, 0, 0]


def test_boards_that_cannot_reach_each_other_are_slower():
    assert seconds(3, 8, device="rtx4090").communication > 4 * seconds(3, 8).communication


@given(st.integers(1, 8), st.sampled_from(["bf16", "fp32"]), st.integers(0, 10**9))
def test_no_category_is_negative_and_checkpointing_needs_no_more(world, precision, trainable):
    work, device = replace(WORK, world=world, precision=precision, trainable=trainable), device_named("h100")
    for setting in settings_of(work, offload=True):
        memory = memory_of(work, setting, device)
        assert min(vars(memory).values()) >= 0
        assert memory_of(work, replace(setting, checkpointing=True), device).total <= (
            memory_of(work, replace(setting, checkpointing=False), device).total
        )


@pytest.mark.parametrize("folder", ["hardware", "interconnects"])
def test_every_shipped_figure_can_be_read_under_its_own_name(folder):
    read = {"hardware": device_named, "interconnects": interconnect_named}[folder]
    assert [read(name).name for name in names_of(folder)] == names_of(folder)
    assert len(names_of(folder)) >= 5


def test_an_unknown_device_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="no device named 'rtx3099'") as caught:
        device_named("rtx3099")
    assert "rtx3090" in caught.value.hint or "did you mean" in caught.value.hint
