"""The ladder as values: what a shifted reference loses is the floor, and a smaller difference is marked."""

import json

import pytest

from vesselbench.compare import compare, with_ladder
from vesselbench.errors import UserError
from vesselbench.ladder import Ladder, Rung, ladder_record, read_ladder


def rung(name, dice, hd95=None):
    metrics = {"dice": {"mean": dice}, "hd95": {"mean": hd95}}
    return Rung(name, f"What {name} is.", metrics, {"ok": 3})


LADDER = Ladder((rung("empty", 0.0, 90.0), rung("reference", 1.0, 0.0), rung("shifted", 0.85)))


def test_the_noise_floor_is_what_the_shift_costs_and_none_without_a_value():
    assert LADDER.noise_floor("dice") == pytest.approx(0.15)
    assert LADDER.noise_floor("hd95") is None


def test_a_ladder_is_read_back_equal_and_a_damaged_one_is_refused():
    record = json.loads(json.dumps(ladder_record(LADDER)))
    assert read_ladder(record, "ladder.json") == LADDER
    assert record["noise_floor"] == {"dice": pytest.approx(0.15), "hd95": None}
    for damaged in ({}, {"rungs": []}, {"rungs": [{"name": "empty"}]}, {"rungs": record["rungs"][:1]}, 7):
        with pytest.raises(UserError, match=r"ladder\.json is not a ladder"):
            read_ladder(damaged, "ladder.json")


@pytest.mark.parametrize(("gain", "marked"), [(0.1, 1), (0.2, 0)])
def test_a_gain_below_the_floor_is_marked_and_a_larger_one_is_not(write_run, gain, marked):
    runs = [write_run(name, {"a": base, "b": base}) for name, base in (("unet", 0.5), ("sa2va", 0.5 + gain))]
    before = compare(runs)
    after = with_ladder(before, LADDER)
    assert after.ladder == LADDER
    assert after.notes[: len(before.notes)] == before.notes
    added = after.notes[len(before.notes) :]
    assert len(added) == marked
    assert all("differ by 0.100 on dice: less than the 0.150" in note for note in added)
