from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench import UserError
from vesselbench.training.memory import USABLE, lowest_stage, states

COUNTS = st.integers(1, 10**10)


def test_states_follow_the_papers_arithmetic_for_a_fully_trained_bf16_model():
    # Rajbhandari et al. 2020, table 1: 7.5B parameters on 64 devices: 120, 31.4, 16.6 and 1.9 GB.
    gigabytes = [states(0, 7_500_000_000, stage, 64, "bf16").total / 1e9 for stage in range(4)]
    assert gigabytes == pytest.approx([120, 31.4, 16.6, 1.9], rel=0.02)


@given(COUNTS, COUNTS, st.integers(1, 64), st.sampled_from(["fp32", "bf16"]))
def test_a_higher_stage_never_needs_more(frozen, trainable, world, precision):
    totals = [states(frozen, trainable, stage, world, precision).total for stage in range(4)]
    assert totals == sorted(totals, reverse=True)


@given(COUNTS, COUNTS, st.integers(2, 8))
def test_the_stage_chosen_fits_and_the_one_below_does_not(frozen, trainable, world):
    available = int(states(frozen, trainable, 2, world, "fp32").total / USABLE) + 2
    stage = lowest_stage(frozen, trainable, world, "fp32", available)
    assert states(frozen, trainable, stage, world, "fp32").total <= USABLE * available
    assert stage == 0 or states(frozen, trainable, stage - 1, world, "fp32").total > USABLE * available


def test_a_model_that_fits_nowhere_is_refused_with_both_numbers():
    with pytest.raises(UserError, match=r"need 29\.8 GiB .* 1\.0 GiB are free"):
        lowest_stage(8_000_000_000, 0, 1, "fp32", 2**30)
