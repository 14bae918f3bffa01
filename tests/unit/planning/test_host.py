"""What offload and checkpoints need beside the devices, and what crosses to the host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vesselbench.config import TrainConfig
from vesselbench.planning.footing import memory_of
from vesselbench.planning.hardware import device_named, interconnect_named
from vesselbench.planning.host import disk_of, host_bytes
from vesselbench.planning.roofline import HOST_MEMORY, moved_to_host, seconds_of
from vesselbench.planning.workload import Setting, Workload
from vesselbench.types import Costs

COSTS = Costs(6e9, 12e9, 6e9, 200_000_000, 20_000_000, 0, 0, 4_000_000_000, 4_000_000_000, "stated")
WORK = Workload(4_000_000_000, 1_000_000_000, 50_000_000, COSTS, 8, 4, "bf16", loaded_bytes=7)
H100 = device_named("h100")
SHARE = WORK.trainable / WORK.world
"""Trained parameters of a rank."""


def setting(stage, micro=1, offload="optimizer"):
    return Setting(stage, micro, True, offload)


@pytest.mark.parametrize(
    ("stage", "micros", "offload", "bytes_per_parameter"),
    [
        (1, 1, "optimizer", 4 + 2),
        (1, 8, "optimizer", 4 + 2),  # gradients of all micro-batches are added on the device
        (2, 1, "optimizer", 4 + 2),
        (2, 8, "optimizer", 8 * 2 + 7 * 2 + 4 + 2),  # out after each, back before the next
        (3, 8, "optimizer", 8 * (2 + 2) + 4 + 2),
    ],
)
def test_what_crosses_to_the_host_is_what_deepspeed_copies(stage, micros, offload, bytes_per_parameter):
    assert moved_to_host(WORK, setting(stage, 8 // micros, offload), micros) == SHARE * bytes_per_parameter


def test_weights_on_the_host_are_fetched_in_every_pass_and_never_sent_back():
    passes = 2 * 8 * WORK.total * 2 / 4
    assert moved_to_host(WORK, setting(3, 1, "both"), 8) == SHARE * (8 * 4 + 4) + passes


def test_the_hosts_update_and_link_are_the_seconds_of_offload():
    seconds = seconds_of(WORK, setting(1, 8), H100, interconnect_named("pcie4")).offload
    assert seconds == pytest.approx(6 * SHARE / 24e9 + 28 * WORK.trainable / HOST_MEMORY)


def test_offload_takes_a_buffer_of_the_largest_parameter_and_what_goes_out_in_fp32():
    plain, moved = (memory_of(WORK, setting(1, 8, offload), H100) for offload in ("none", "optimizer"))
    assert moved.optimizer == 0
    assert moved.gradients == 2 * WORK.trainable + WORK.largest_layer * (2 + 4)
    assert plain.optimizer == 12 * SHARE


@pytest.mark.parametrize(
    ("wanted", "per_trained", "per_weight"),
    [
        (setting(1, 8), 4 * 4 + 2, 0),  # copy, two moments, gradient; the weights that go back
        (setting(2, 4), 4 * 4 + 2 + 2, 0),  # and the gradients of earlier micro-batches
        (setting(3, 8), 4 * 4 + 2, 0),
        (setting(3, 8, "both"), 4 * 4 + 2, 2),
    ],
)
def test_the_host_holds_what_the_devices_do_not(wanted, per_trained, per_weight):
    work = replace(WORK, total=2_000_000_000)
    held = work.trainable * per_trained + work.total * per_weight
    built = work.world * work.total * 2 if wanted.stage < 3 else 0
    assert host_bytes(work, wanted, H100, 1) == max(held, built) + 4 * 7


def test_without_offload_the_host_holds_the_models_that_the_processes_build():
    assert host_bytes(WORK, setting(2, 1, "none"), H100, 1) == 4 * 7 + 4 * 2 * WORK.total
    assert host_bytes(WORK, setting(3, 1, "none"), H100, 1) == 4 * 7 + 4 * 2 * WORK.largest_layer


def test_the_ranks_of_a_processor_share_its_memory():
    assert host_bytes(WORK, setting(2, 1, "none"), device_named("cpu-2core"), 1000) == 4000


@pytest.mark.parametrize(
    ("keys", "steps", "written", "most", "states"),
    [
        ({"keep": 5, "save_every": 500}, 459, 1, 1, 1),  # the last alone
        ({"keep": 2, "save_every": 10}, 100, 10, 3, 3),  # two, and the one being written
        ({"keep": 2, "save_every": 10, "validate_every": 20}, 100, 10, 4, 4),  # and the best
        ({"keep": 2, "save_every": 10, "keep_state": "newest"}, 100, 10, 3, 2),
        ({"keep": 2, "save_every": 10}, None, None, 3, 3),
    ],
)
def test_a_run_folder_holds_the_newest_checkpoints_the_best_and_the_one_being_written(
    keys, steps, written, most, states
):
    disk = disk_of(TrainConfig(**keys), WORK, steps)
    assert (disk.written, disk.most, disk.most_states) == (written, most, states)
    assert disk.weights == 2 * WORK.trainable
    assert disk.state == 12 * WORK.trainable
    assert disk.total == most * disk.weights + states * disk.state


def test_an_average_of_the_weights_is_kept_with_the_weights_beside_it():
    plain, averaged = (disk_of(TrainConfig(), replace(WORK, averaged=on), 10).state for on in (False, True))
    assert averaged - plain == 8 * WORK.trainable
