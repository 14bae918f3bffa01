from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.evaluation.deal import batches, check_ids, deal, in_order
from vesselbench.types import Sample, ScoreRow

COUNTS = st.integers(1, 30)
WORLDS = st.integers(1, 7)


def samples_of(count):
    return [Sample(str(number), Path(f"{number}.png"), ()) for number in range(count)]


@given(COUNTS, WORLDS)
def test_every_sample_is_dealt_once_beside_the_padding(count, world):
    samples = samples_of(count)
    dealt = [item.sample.id for rank in range(world) for item in deal(samples, rank, world) if not item.padding]
    assert sorted(dealt) == sorted(sample.id for sample in samples)


@given(COUNTS, WORLDS, st.integers(1, 5))
def test_every_rank_makes_equally_many_equal_batches(count, world, size):
    shapes = {
        tuple(len(piece) for piece in batches(deal(samples_of(count), rank, world), size)) for rank in range(world)
    }
    assert len(shapes) == 1


@given(COUNTS, WORLDS)
def test_no_rank_is_dealt_a_sample_twice(count, world):
    for rank in range(world):
        ids = [item.sample.id for item in deal(samples_of(count), rank, world)]
        assert len(ids) == len(set(ids))


def test_nothing_to_deal_is_an_error():
    with pytest.raises(ValueError, match="no samples"):
        deal([], 0, 2)


def row(name):
    return ScoreRow(name, "", "vessel", {})


def test_rows_of_several_ranks_come_back_in_the_order_asked_for():
    assert [r.id for r in in_order([row("a"), row("c"), row("b")], ["a", "b", "c"])] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (["a"], "missing: b, c$"),
        (["a", "b", "c", "d"], "extra: d$"),
        (["a", "b", "c", "b"], "doubled: b$"),
        (["a", "b", "b", "d"], "missing: c; extra: d; doubled: b$"),
    ],
)
def test_missing_extra_and_doubled_ids_are_named(found, message):
    with pytest.raises(ValueError, match=message):
        check_ids(["a", "b", "c"], found)
    with pytest.raises(ValueError, match=message):
        in_order([row(name) for name in found], ["a", "b", "c"])
