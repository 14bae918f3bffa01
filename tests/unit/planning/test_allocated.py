from __future__ import annotations

import torch

from vesselbench.planning.allocated import held_by


def test_what_was_live_at_the_highest_point_is_told_block_by_block():
    def compute():
        first, small = torch.empty(1000), torch.empty(10)
        del first
        second, third = torch.empty(500), torch.empty(900)
        del second, third, small

    assert held_by(compute) == (3600, 2000, 40)


def test_what_was_there_before_is_not_counted():
    kept = torch.ones(10_000)
    assert held_by(kept.clone) == (40_000,)


def test_gradients_and_what_is_saved_for_backward_are_counted():
    weight, data = torch.ones(1000, 1000, requires_grad=True), torch.ones(100, 1000)
    blocks = held_by(lambda: (data @ weight).relu().sum().backward())
    assert blocks[0] == 4_000_000
    assert 400_000 in blocks
