from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench import UserError
from vesselbench.planning.footing import HOLES, memory_of
from vesselbench.planning.hardware import device_named, interconnect_named, names_of
from vesselbench.planning.roofline import seconds_of
from vesselbench.planning.workload import Setting, Workload, settings_of
from vesselbench.training.settings import CPU_BUCKET
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


@pytest.mark.parametrize("folder", ["hardware", "interconnects"])
def test_every_shipped_file_says_where_its_figures_come_from(folder):
    read = {"hardware": device_named, "interconnects": interconnect_named}[folder]
    for name in names_of(folder):
        source = read(name).source
        assert re.search(r"https://\S+\.\S+|measured.* with (vesselbench bench|python -m benchmarks\.)", source), name


def test_a_file_of_ones_own_must_name_its_source(tmp_path):
    file = tmp_path / "mine.yaml"
    figures = "name: mine\nkind: cuda\npeak_tflops: {bf16: 1, fp32: 1}\nmemory_gib: 8\nmemory_gbps: 100\nwatts: 9\n"
    file.write_text(figures + "peer_to_peer: true\n")
    with pytest.raises(UserError, match="source"):
        device_named(str(file))
    file.write_text(figures + "peer_to_peer: true\nsource: my own measurement\n")
    assert device_named(str(file)).source == "my own measurement"


def test_an_unknown_device_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="no device named 'rtx3099'") as caught:
        device_named("rtx3099")
    assert "rtx3090" in caught.value.hint or "did you mean" in caught.value.hint


RUN = replace(COSTS, blocks=(20 * 2**20, 2**20, 2**20))
"""A sample that was run held 22 MiB at most."""


def on_a_processor(work, stage=0, micro=1):
    return memory_of(work, Setting(stage, micro, False, "none"), device_named("cpu-2core"))


def test_what_was_held_grows_with_the_micro_batch_and_the_heaps_holes_with_its_root():
    work = replace(WORK, trainable=0, total=0, costs=RUN, precision="fp32", world=1)
    one, four = (on_a_processor(work, micro=micro) for micro in (1, 4))
    assert four.activations == 4 * one.activations == 88 * 2**20
    assert one.other**2 == pytest.approx(HOLES * one.activations)
    assert four.other == pytest.approx(2 * one.other)


def test_holes_are_those_of_a_backward_pass_and_stand_as_0_where_the_optimizers_step_needs_more():
    work = replace(WORK, costs=replace(RUN, blocks=(2**20,)), precision="fp32", world=1)
    assert on_a_processor(work, stage=1).activations == on_a_processor(work, stage=1).other == 0


def test_stage_3_has_its_bucket_beside():
    bucket = on_a_processor(WORK, stage=3).other - on_a_processor(WORK, stage=2).other
    assert bucket == 4 * CPU_BUCKET


def test_gradients_of_earlier_micro_batches_and_stage_3s_buffer_lie_beside_a_backward_pass():
    big = replace(COSTS, blocks=(10**12,))
    work = replace(WORK, costs=big, precision="fp32", world=1)
    assert on_a_processor(work, micro=8).gradients == 0, "those of the pass itself are in its blocks"
    assert on_a_processor(work, micro=4).gradients == 4 * work.trainable
    assert on_a_processor(work, stage=3, micro=8).gradients == 4 * work.trainable


@pytest.mark.parametrize(("stage", "copies"), [(0, 0), (1, 1), (2, 1), (3, 1)])
def test_copies_average_and_moments_are_the_optimizers(stage, copies):
    work = replace(WORK, precision="fp32", world=1, averaged=True)
    assert on_a_processor(work, stage).optimizer == 4 * work.trainable * (2 + 1 + copies)
    assert on_a_processor(replace(work, moments=1), stage).optimizer == 4 * work.trainable * (1 + 1 + copies)


def test_decoded_samples_count_where_they_lie():
    work = replace(WORK, loaded_bytes=12_345)
    plain = on_a_processor(WORK, micro=1).other
    assert on_a_processor(work, micro=1).other == plain + 12_345
    setting = Setting(0, 1, False, "none")
    assert memory_of(work, setting, device_named("h100")) == memory_of(WORK, setting, device_named("h100"))
