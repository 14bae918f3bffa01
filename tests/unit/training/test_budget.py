from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vesselbench import UserError
from vesselbench.config import TrainConfig
from vesselbench.recipes import load_recipe
from vesselbench.training.budget import Budget, steps_of

KINDS = st.sampled_from(["cosine", "poly", "constant"])


def budget(**train) -> Budget:
    config = TrainConfig(**train)
    return Budget(config, steps_of(config, 30))


@given(KINDS, st.integers(1, 200), st.floats(0, 0.9))
def test_the_factor_stays_above_zero_and_at_most_one_at_every_step(kind, steps, warmup):
    used = budget(steps=steps, schedule=kind, warmup=warmup)
    assert all(0 < used.factor(step) <= 1 for step in range(steps))


@given(KINDS, st.integers(10, 200))
def test_the_factor_rises_in_the_warm_up_and_never_after_it(kind, steps):
    used = budget(steps=steps, schedule=kind, warmup=0.3)
    warm = round(0.3 * steps)
    factors = [used.factor(step) for step in range(steps)]
    assert factors[: warm + 1] == sorted(factors[: warm + 1])
    assert factors[warm] == 1.0
    assert factors[warm:] == sorted(factors[warm:], reverse=True)


def test_epochs_and_samples_come_to_whole_steps_rounded_up():
    assert budget(epochs=3, batch_size=4).steps == 23  # 90 samples
    assert budget(epochs=2, batch_size=4).steps == 15
    assert budget(epochs=0.01).steps == 1
    assert budget(samples=14_688, batch_size=32).steps == 459
    assert budget().steps == 200


def test_by_the_clock_the_learning_rate_follows_the_time_used_and_the_last_step_is_the_one_that_uses_it_up():
    used = budget(minutes=1, warmup=0.5, schedule="cosine")
    factors = []
    for step, seconds in enumerate([15.0, 15.0, 15.0, 14.9]):
        factors.append(used.factor(step))
        used.spend(seconds)
        assert not used.is_used(step + 1)
    assert factors == pytest.approx([0.002, 0.5, 1.0, 0.5])
    assert used.progress(4) == (59, 60)
    used.spend(5.0)
    assert used.is_used(5)
    assert used.factor(5) > 0, "a step that is begun after all is no step of nothing"


def test_the_time_used_is_state():
    used, again = budget(minutes=1), budget(minutes=1)
    used.spend(30)
    again.restore(used.state())
    assert again.factor(9) == used.factor(9)


def test_two_lengths_in_one_place_are_refused():
    with pytest.raises(ValidationError, match="only one of steps, epochs"):
        TrainConfig(steps=5, epochs=1)


def test_a_later_length_replaces_that_of_the_recipe(catalogue, tmp_path):
    extra = tmp_path / "long.yaml"
    extra.write_text("train: {samples: 600}")
    train = load_recipe("unet", catalogue, [str(extra)], ["train.epochs=2"])[0].train
    assert (train.steps, train.samples, train.epochs) == (None, None, 2)
    assert load_recipe("unet", catalogue, overrides=["train.lr=1"])[0].train.steps == 1200
    extra.write_text("train: {steps: 5, minutes: 1}")
    with pytest.raises(UserError, match="only one of steps, minutes"):
        load_recipe("unet", catalogue, [str(extra)])
