from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from vesselbench import UserError
from vesselbench.model import count_parts, load_trained, load_weights, save_trained, trained_names


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen = torch.nn.Linear(3, 4).requires_grad_(False)
        self.head = torch.nn.Linear(4, 2)
        self.register_buffer("mean", torch.ones(3))
        self.register_buffer("scratch", torch.ones(3), persistent=False)


def test_a_checkpoint_holds_trainable_parameters_and_persistent_buffers_only():
    assert trained_names(Net()) == ["head.bias", "head.weight", "mean"]


def test_parts_are_counted_with_what_is_trainable():
    assert count_parts(Net()) == {"frozen": (16, 0), "head": (10, 10)}


def test_saved_weights_come_back_exactly(tmp_path):
    torch.manual_seed(0)
    net, other = Net(), Net()
    save_trained(net, tmp_path / "w.safetensors")
    load_trained(other, tmp_path / "w.safetensors")
    for name in trained_names(net):
        assert torch.equal(net.state_dict()[name], other.state_dict()[name])


def test_loading_demands_every_trainable_name_and_nothing_else(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"head.weight": torch.zeros(2, 4), "tail.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError) as caught:
        load_trained(Net(), path)
    assert "2 missing: head.bias, mean" in caught.value.message
    assert "1 unexpected: tail.weight" in caught.value.message


def test_another_size_is_refused_with_both_shapes(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"head.weight": torch.zeros(2, 5), "head.bias": torch.zeros(2), "mean": torch.zeros(3)}, path)
    with pytest.raises(UserError, match=r"head\.weight \(2, 5\) against \(2, 4\)"):
        load_trained(Net(), path)


def test_base_weights_must_cover_the_whole_model_over_all_shards(tmp_path):
    net, state = Net(), dict(Net().state_dict())
    first, second = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    save_file({"mean": state.pop("mean")}, first)
    save_file(state, second)
    load_weights(net, [first, second])
    assert torch.equal(net.head.weight, state["head.weight"])
    with pytest.raises(UserError, match="missing"):
        load_weights(net, [second])
    with pytest.raises(UserError, match="stands in an earlier file"):
        load_weights(net, [first, first])


def test_a_file_cut_short_is_a_user_error(tmp_path):
    path = tmp_path / "w.safetensors"
    header = json.dumps({"a": {"dtype": "F32", "shape": [100], "data_offsets": [0, 400]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 10)
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_trained(Net(), path)
    with pytest.raises(UserError, match="does not exist"):
        load_trained(Net(), tmp_path / "nowhere.safetensors")


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    net = Net()
    with torch.no_grad():
        net.head.bias[0] = float("nan")
    with pytest.raises(UserError, match=r"head\.bias"):
        save_trained(net, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []
