from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.config import TrainConfig
from vesselbench.training.schedule import due, learning_rate_factor

KINDS = st.sampled_from(["cosine", "poly", "constant"])


@given(KINDS, st.integers(1, 200), st.floats(0, 0.9))
def test_the_factor_stays_above_zero_and_at_most_one_at_every_step(kind, steps, warmup):
    train = TrainConfig(steps=steps, schedule=kind, warmup=warmup)
    assert all(0 < learning_rate_factor(train, step) <= 1 for step in range(steps))


@given(KINDS, st.integers(10, 200))
def test_the_factor_rises_in_the_warm_up_and_never_after_it(kind, steps):
    train = TrainConfig(steps=steps, schedule=kind, warmup=0.3)
    warm = round(0.3 * steps)
    factors = [learning_rate_factor(train, step) for step in range(steps)]
    assert factors[: warm + 1] == sorted(factors[: warm + 1])
    assert factors[warm] == 1.0
    assert factors[warm:] == sorted(factors[warm:], reverse=True)


def test_cosine_is_at_one_half_in_the_middle():
    assert learning_rate_factor(TrainConfig(steps=100, warmup=0), 50) == pytest.approx(0.5)


def test_due_counts_from_one_and_zero_means_never():
    assert [step for step in range(1, 10) if due(step, 3)] == [3, 6, 9]
    assert not any(due(step, 0) for step in range(1, 10))
