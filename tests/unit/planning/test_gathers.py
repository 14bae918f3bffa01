"""The weights of a pass are those of the layers that are called, and backward of those that get a gradient."""

from __future__ import annotations

import torch
from torch import nn

from vesselbench.planning.gathers import noting_gathers


class Net(nn.Module):
    """A frozen tower of 4 x 3 + 3 numbers, a layer that is never called, and a trained block of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.tower, self.unused, self.block = nn.Linear(4, 3), nn.Linear(100, 100), Block()
        self.tower.requires_grad_(False)

    def forward(self, values):
        return self.block(self.tower(values))


class Block(nn.Module):
    """Calls its first layer past its hooks."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 2, bias=False)

    def forward(self, values):
        return self.second(nn.functional.linear(values, self.first.weight))


def sizes(net, leaves=()):
    with noting_gathers(net, leaves) as found:
        net(torch.ones(1, 4))
    return found.sizes


def test_frozen_towers_are_not_gathered_backward_and_what_is_not_called_never():
    assert sizes(Net(), [Block]) == (15 + 15, 15)


def test_a_leaf_is_gathered_as_a_whole_other_layers_by_themselves():
    assert sizes(Net()) == (15 + 6, 6)


def test_without_gradient_nothing_is_gathered_backward_and_no_hook_stays():
    net = Net()
    with torch.no_grad():
        assert sizes(net, [Block]) == (30, 0)
    assert not any(part._forward_hooks for part in net.modules())
