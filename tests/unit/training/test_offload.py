from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import torch

from vesselbench import UserError
from vesselbench.config import TrainConfig
from vesselbench.training.offload import _remove_leftovers, files_of, offload_lines, prepare_offload, remove_files
from vesselbench.training.settings import deepspeed_settings

CPU = torch.device("cpu")


def test_offload_becomes_deepspeeds_and_is_said_to_change_nothing_without_a_gpu(tmp_path):
    train = TrainConfig(offload={"optimizer": "nvme", "parameters": "cpu", "folder": tmp_path})
    zero = deepspeed_settings(train, 3, 1, 1, torch.device("cuda"))["zero_optimization"]
    assert zero["offload_optimizer"] == {"device": "nvme", "pin_memory": True, "nvme_path": str(files_of(tmp_path))}
    assert zero["offload_param"] == {"device": "cpu", "pin_memory": True}
    said, unchecked = offload_lines(train, CPU)
    assert said == "offload: optimizer state to nvme, weights to cpu"
    assert "no check that each trained parameter has a finite gradient and moves" in unchecked
    assert "changes nothing" in offload_lines(TrainConfig(offload={"optimizer": "cpu"}), CPU)[0]
    assert offload_lines(TrainConfig(), CPU) == []


def test_two_trainings_with_one_folder_have_their_own_files(tmp_path):
    train = TrainConfig(offload={"parameters": "nvme", "folder": tmp_path})
    assert files_of(tmp_path).name == f"vesselbench-{socket.gethostname()}-{os.getpid()}"
    files_of(tmp_path).mkdir()
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left, foreign = (tmp_path / f"vesselbench-{socket.gethostname()}-{end}" for end in (int(ended.stdout), "notes"))
    left.mkdir()
    foreign.mkdir()
    _remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([files_of(tmp_path), foreign]), "what a killed process left is gone"
    remove_files(train)
    assert list(tmp_path.iterdir()) == [foreign]


def test_files_without_the_operator_for_them_are_an_error_that_names_the_package(tmp_path, monkeypatch):
    import deepspeed

    # with libaio or without: without a compiler DeepSpeed cannot find it
    monkeypatch.setenv("CC", "/bin/false")
    with pytest.raises(UserError) as caught:
        prepare_offload(deepspeed, TrainConfig(offload={"optimizer": "nvme", "folder": tmp_path}))
    assert "libaio-dev" in caught.value.hint
    prepare_offload(deepspeed, TrainConfig(offload={"optimizer": "cpu"}))
