"""Where the time of each optimizer step goes."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch

from vesselbench.training.state import State

PHASES = ("data", "forward", "backward", "optimizer")
"""Waiting for data; forward; backward; all else of a step: the optimizer, and what the ranks say to each other outside
of forward and backward. (ZeRO-3 gathers weights inside both; gradients are reduced while backward runs.)"""
RECENT = 1000
"""Newest steps whose seconds are kept one by one, for the median: a checkpoint must not grow with the steps."""


class StepClock:
    """Splits optimizer steps into `PHASES`, and keeps what happens between them (validations, saves) apart.

    ``lap(phase)`` ends a phase, which began at the lap before it; a step starts with ``lap("data")`` and ends with
    ``end_step()``. On CUDA phases are measured by events and read once per step, after the one synchronization that
    ends it. The median is that of the newest `RECENT` steps, without the first one (allocation, first-use compilation).
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"
        self._events: list[tuple[str, Any]] = []
        self._step = dict.fromkeys(PHASES, 0.0)
        self._fresh: list[dict[str, float]] = []
        self.totals = dict.fromkeys(PHASES, 0.0)
        """Seconds of all steps by phase."""
        self.aside: dict[str, float] = {}
        """Seconds between the steps, by what was done."""
        self.recent: deque[float] = deque(maxlen=RECENT)
        """Seconds of the newest steps, data included; the first of all is there until there is a second."""
        self.count = 0
        """Steps so far."""
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """`phase` ends now."""
        if self._cuda:
            if phase == "data":
                self._events.clear()
            event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._events.append((phase, event))
            if phase != "data":
                return
        self._add(phase)

    def end_step(self) -> None:
        """The step ends now; what came after the last lap is the optimizer's."""
        if self._cuda:
            self.lap("optimizer")
            torch.cuda.synchronize(self._device)
            for (_, begun), (phase, ended) in pairwise(self._events):
                self._step[phase] += begun.elapsed_time(ended) / 1000
            self._events.clear()
            self._last = time.perf_counter()
        else:
            self._add("optimizer")
        self._fresh.append(self._step)
        if self.count == 1:
            self.recent.clear()
        self.recent.append(sum(self._step.values()))
        self.count += 1
        for phase, seconds in self._step.items():
            self.totals[phase] += seconds
        self._step = dict.fromkeys(PHASES, 0.0)

    def set_aside(self, work: str) -> None:
        """What happened since the last lap was no part of a step but `work`."""
        now = time.perf_counter()
        self.aside[work] = self.aside.get(work, 0.0) + now - self._last
        self._last = now

    def state(self) -> State:
        """What is known of all steps so far, so that the figures after a resume are the whole training's."""
        return State({"count": self.count, "recent": list(self.recent), "totals": self.totals, "aside": self.aside})

    def restore(self, state: State) -> None:
        self.count, self.recent = int(state.values["count"]), deque(state.values["recent"], maxlen=RECENT)
        self.totals, self.aside, self._fresh = dict(state.values["totals"]), dict(state.values["aside"]), []
        self._last = time.perf_counter()

    @property
    def total(self) -> float:
        """Seconds of all steps so far; validations and saves left out."""
        return sum(self.totals.values())

    @property
    def newest(self) -> float:
        """Seconds of the newest step, data included."""
        return self.recent[-1]

    def take(self) -> dict[str, float]:
        """Mean seconds per step since the last call, in all and by phase, and the number of these steps."""
        taken, self._fresh = self._fresh, []
        means = {f"{phase}_seconds": statistics.fmean(step[phase] for step in taken) for phase in PHASES}
        return {"seconds": sum(means.values()), **means}

    def speed(self, batch_size: int) -> float:
        """Samples per second over all ranks in the newest step."""
        return batch_size / self.newest

    def facts(self, batch_size: int) -> dict[str, Any]:
        """train_seconds (validations and saves left out), seconds_per_step (median of `recent`),
        samples_per_second over all ranks, data_wait_share in [0, 1], time_split: seconds by phase and aside."""
        median = statistics.median(self.recent)
        return {
            "train_seconds": self.total,
            "seconds_per_step": median,
            "samples_per_second": batch_size / median,
            "data_wait_share": self.totals["data"] / self.total,
            "time_split": {**self.totals, **self.aside},
        }

    def _add(self, phase: str) -> None:
        now = time.perf_counter()
        self._step[phase] += now - self._last
        self._last = now


def combine(rows: list[Mapping[str, float | None]]) -> dict[str, float]:
    """The telemetry of all ranks as one: the highest memory, the sum of power and energy, the mean of all else.

    A gauge that any rank could not read (None) is left out: a sum over the others would be too small.
    """
    combined: dict[str, float] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            continue
        if name.endswith("_bytes"):
            combined[name] = max(known)
        elif name.endswith(("_watts", "_joules")):
            combined[name] = sum(known)
        else:
            combined[name] = statistics.fmean(known)
    return combined
