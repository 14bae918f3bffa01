from __future__ import annotations

import torch

from vesselbench_sa2va.kept import Kept


def test_a_value_is_made_once_as_long_as_its_sources_stay_as_they_are() -> None:
    kept, made = Kept(), []
    first, second = torch.ones(2), torch.ones(2)

    def get(*sources: torch.Tensor) -> torch.Tensor:
        def make() -> torch.Tensor:
            made.append(1)
            return sum(sources) * 1.0

        return kept.get(sources, make)

    assert get(first, second) is get(first, second)
    assert len(made) == 1
    first.fill_(3)
    assert get(first, second).tolist() == [4, 4]
    assert get(second, second).tolist() == [2, 2]
    assert get(second.double(), second).dtype == torch.float64
    assert get(second).tolist() == [1, 1]
    assert len(made) == 5


def test_a_weight_that_moves_to_another_type_is_read_again() -> None:
    kept, weight = Kept(), torch.nn.Parameter(torch.ones(2), requires_grad=False)
    assert kept.get([weight], lambda: weight * 2).dtype == torch.float32
    weight.data = weight.data.bfloat16()
    assert kept.get([weight], lambda: weight * 2).dtype == torch.bfloat16


def test_of_a_learning_weight_nothing_is_kept_and_its_gradient_flows() -> None:
    kept, weight = Kept(), torch.nn.Parameter(torch.ones(2))
    for _ in range(2):
        kept.get([weight], lambda: weight * 2).sum().backward()
    assert weight.grad.tolist() == [4, 4]
