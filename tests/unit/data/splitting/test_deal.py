"""Groups are dealt out by seed alone; folds cover all, strata span the range, subsets are nested."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.config import SplitConfig
from vesselbench.data.splitting.deal import deal, nested
from vesselbench.errors import UserError
from vesselbench.types import SET_NAMES

counts = st.integers(6, 60)
seeds = st.integers(0, 9)


def names(count: int) -> list[str]:
    return [f"g{number:03d}" for number in range(count)]


def fractions_of(count: int) -> dict[str, float]:
    """As unlike as they can be, and in another order than the names."""
    order = np.random.default_rng(count).permutation(count)
    return {name: float(place) / count for name, place in zip(names(count), order, strict=True)}


def dealt(count: int, **settings: Any) -> dict[Any, list[str]]:
    return deal(names(count), SplitConfig(**settings), fractions_of(count))


@given(count=counts, seed=seeds, folds=st.integers(2, 6), stratify=st.booleans())
def test_every_group_is_in_the_test_set_of_exactly_one_fold(count: int, seed: int, folds: int, stratify: bool) -> None:
    sets = [dealt(count, seed=seed, folds=folds, fold=fold, stratify=stratify) for fold in range(folds)]
    assert sorted(group for one in sets for group in one["test"]) == names(count)
    assert max(len(one["test"]) for one in sets) - min(len(one["test"]) for one in sets) <= 1
    for one in sets:
        assert sorted(group for name in SET_NAMES for group in one[name]) == names(count)


@given(count=counts, seed=seeds, stratify=st.booleans())
def test_no_group_is_held_out_of_every_folds_training(count: int, seed: int, stratify: bool) -> None:
    trained = {g for fold in range(5) for g in dealt(count, seed=seed, folds=5, fold=fold, stratify=stratify)["train"]}
    assert trained == set(names(count))


@given(count=counts, seed=seeds, val=st.floats(0.05, 0.3), test=st.floats(0.05, 0.3))
def test_stratifying_changes_who_but_not_how_many(count: int, seed: int, val: float, test: float) -> None:
    plain = dealt(count, seed=seed, val=val, test=test)
    strata = dealt(count, seed=seed, val=val, test=test, stratify=True)
    assert {name: len(groups) for name, groups in plain.items()} == {name: len(g) for name, g in strata.items()}
    assert sorted(group for groups in strata.values() for group in groups) == names(count)


@given(count=st.integers(20, 60), seed=seeds)
def test_every_stratified_set_spans_the_range_of_vessel_fractions(count: int, seed: int) -> None:
    fractions = fractions_of(count)
    sets = dealt(count, seed=seed, val=0.2, test=0.2, stratify=True)
    for groups in sets.values():
        assert min(fractions[group] for group in groups) < 0.4
        assert max(fractions[group] for group in groups) > 0.6
        assert fmean(fractions[group] for group in groups) == pytest.approx(0.5, abs=0.2)


def test_stratified_test_sets_vary_less_than_plain_ones() -> None:
    fractions = fractions_of(40)

    def spread(stratify: bool) -> float:
        sets = [dealt(40, seed=seed, stratify=stratify)["test"] for seed in range(40)]
        means = [fmean(fractions[group] for group in groups) for groups in sets]
        return max(means) - min(means)

    assert spread(True) < spread(False) / 3


@given(count=counts, seed=seeds)
def test_named_groups_stay_where_they_are_named(count: int, seed: int) -> None:
    for stratify in (False, True):
        sets = dealt(count, seed=seed, val=["g003"], test=0.3, stratify=stratify)
        assert sets["val"] == ["g003"]
        assert "g003" not in sets["test"] + sets["train"]


@given(count=st.integers(1, 200), seed=seeds)
def test_smaller_subsets_are_contained_in_larger_ones(count: int, seed: int) -> None:
    shares = (0.05, 0.1, 0.25, 0.5, 1.0)
    subsets = [nested(names(count), share, seed) for share in shares]
    for smaller, larger in pairwise(subsets):
        assert set(smaller) <= set(larger)
    assert [len(subset) for subset in subsets] == [max(1, int(share * count + 0.5)) for share in shares]
    assert subsets[-1] == names(count)


def test_a_subset_depends_on_the_seed_and_not_on_the_order() -> None:
    assert nested(names(20), 0.5, 1) == nested(names(20)[::-1], 0.5, 1)
    assert len({tuple(nested(names(20), 0.5, seed)) for seed in range(5)}) == 5


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(UserError, match="7 folds of 6 groups"):
        dealt(6, folds=7)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"fold": 1}, "fold 1 needs folds"),
        ({"folds": 3, "fold": 3}, "not one of the 3 folds, 0 to 2"),
        ({"folds": 3, "test": ["g001"]}, "test must not name them"),
        ({"folds": 3, "file": "x.json"}, "file must not be given"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"subset": 0}, "greater than 0"),
        ({"subset": 1.5}, "less than or equal to 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        SplitConfig(**settings)
