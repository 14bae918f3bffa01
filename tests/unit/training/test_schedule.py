from __future__ import annotations

import pytest

from vesselbench.config import TrainConfig
from vesselbench.training.schedule import course, due


@pytest.mark.parametrize(("schedule", "half"), [("cosine", 0.5), ("poly", 0.5**0.9), ("constant", 1.0)])
def test_after_the_warm_up_the_course_goes_from_one_to_its_middle(schedule, half):
    train = TrainConfig(schedule=schedule)
    assert course(train, 0.2, 0.2) == 1.0
    assert course(train, 0.6, 0.2) == pytest.approx(half)
    assert course(train, 0.1, 0.2) == pytest.approx(0.5)


def test_due_counts_from_one_and_zero_means_never():
    assert [step for step in range(1, 10) if due(step, 3)] == [3, 6, 9]
    assert not any(due(step, 0) for step in range(1, 10))
