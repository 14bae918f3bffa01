"""Where a step's time goes: the phases are all of it, and what happens between steps is no part of it."""

from __future__ import annotations

import time

import pytest
import torch

from vesselbench.training.telemetry import PHASES, StepClock, combine


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The time, in a list of one: tests move it."""
    box = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: box[0])
    return box


def step(clock: StepClock, now: list[float], *phases: tuple[str, float], rest: float = 0.0) -> None:
    for phase, seconds in phases:
        now[0] += seconds
        clock.lap(phase)
    now[0] += rest
    clock.end_step()


def test_micro_batches_add_up_and_the_rest_of_a_step_is_the_optimizers(now):
    clock = StepClock(torch.device("cpu"))
    micro = (("forward", 1.0), ("optimizer", 0.125), ("backward", 2.0), ("optimizer", 0.25))
    step(clock, now, ("data", 0.5), *micro, *micro, rest=1.0)
    assert clock.take() == {
        "seconds": 8.25,
        "data_seconds": 0.5,
        "forward_seconds": 2.0,
        "backward_seconds": 4.0,
        "optimizer_seconds": 1.75,
    }
    assert clock.speed(33) == 4.0


def test_a_line_of_the_log_stands_for_all_steps_since_the_one_before(now):
    clock = StepClock(torch.device("cpu"))
    for seconds in (1.0, 3.0):
        step(clock, now, ("data", seconds), ("forward", 1.0))
    assert clock.take()["data_seconds"] == 2.0
    step(clock, now, ("data", 8.0), ("forward", 1.0))
    assert clock.take()["seconds"] == 9.0


def test_work_between_the_steps_is_kept_apart(now):
    clock = StepClock(torch.device("cpu"))
    step(clock, now, ("data", 1.0), ("forward", 4.0))
    now[0] += 30.0
    clock.set_aside("validation")
    step(clock, now, ("data", 1.0), ("forward", 1.0))
    facts = clock.facts(4)
    assert facts["train_seconds"] == 7.0
    assert facts["seconds_per_step"] == 2.0, "the first step is left out of the median"
    assert facts["samples_per_second"] == 2.0
    assert facts["data_wait_share"] == pytest.approx(2 / 7)
    assert facts["time_split"] == {**dict.fromkeys(PHASES, 0.0), "data": 2.0, "forward": 5.0, "validation": 30.0}


def test_ranks_are_one_run_memory_of_the_fullest_energy_of_all():
    rows = [
        {"seconds": 1.0, "peak_memory_bytes": 10.0, "gpu_power_watts": 100.0, "cpu_energy_joules": 7.0},
        {"seconds": 3.0, "peak_memory_bytes": 30.0, "gpu_power_watts": 150.0},
    ]
    assert combine(rows) == {
        "seconds": 2.0,
        "peak_memory_bytes": 30.0,
        "gpu_power_watts": 250.0,
        "cpu_energy_joules": 7.0,
    }


def test_a_sum_that_would_lack_a_rank_is_left_out():
    rows = [{"gpu_energy_joules": 5.0, "gpu_utilisation": 0.5}, {"gpu_energy_joules": None, "gpu_utilisation": None}]
    assert combine(rows) == {}
