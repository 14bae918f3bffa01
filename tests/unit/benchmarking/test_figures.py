"""Rounds are told by their median and quartiles, rates and shares follow from them, and JSON gives them back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vesselbench.benchmarking.figures import Figures, read_figures
from vesselbench.errors import UserError

STEP = Figures(
    what="training step",
    seconds=(0.5, 0.1, 0.3, 0.2, 0.4),
    warmup=3,
    samples=6,
    data_wait_share=0.25,
    peak_memory_bytes=700,
    grown_bytes=200,
    flops=3_000,
    references={"matmul": (50_000.0, 100_000.0), "convolution": (40_000.0, 20_000.0)},
    device="cpu",
    dtype="float32",
    threads=1,
)


def test_time_is_the_median_round_with_the_quartiles_beside_it():
    assert (STEP.median, STEP.quartiles) == (0.3, (0.2, 0.4))
    assert replace(STEP, seconds=(0.7,)).quartiles == (0.7, 0.7)
    assert STEP.samples_per_second == pytest.approx(20)


def test_utilisation_is_the_counted_rate_over_the_fastest_reference_of_the_run():
    assert STEP.peaks == {"matmul": 100_000.0, "convolution": 40_000.0}
    assert STEP.utilisation == pytest.approx({"matmul": 0.1, "convolution": 0.25})


def test_work_without_matrix_arithmetic_has_no_utilisation():
    assert replace(STEP, flops=0).utilisation is None


def test_figures_come_back_from_json_as_they_were():
    stored = json.loads(json.dumps(STEP.as_json()))
    assert stored["rounds"] == 5
    assert read_figures(stored, "a.json") == STEP


@pytest.mark.parametrize("damage", [{"seconds": []}, {"seconds": [0.0]}, {"references": [1.0]}, {"seconds": "fast"}])
def test_damaged_figures_are_refused_by_the_name_of_their_file(damage):
    with pytest.raises(UserError, match=r"a\.json holds no figures of a benchmark"):
        read_figures({**STEP.as_json(), **damage}, "a.json")


def test_missing_figures_are_refused_by_name():
    values = STEP.as_json()
    del values["flops"]
    with pytest.raises(UserError, match="'flops'"):
        read_figures(values, "a.json")
