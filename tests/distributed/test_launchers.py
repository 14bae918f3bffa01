"""The launchers of clusters: two nodes of torchrun that meet on this machine, and deepspeed's own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(200)
WORDS = [
    *("-m", "vesselbench", "train", "unet", "model.channels=[4,8]", "train.augment.crop=null", "--runs", "runs"),
    *("data.options.images=12", "data.options.size=64", "data.options.per_group=2", "train.steps=2"),
    *("train.batch_size=4", "train.log_every=1", "train.validate_every=0", "train.zero_stage=3", "train.device=cpu"),
]


def start(folder: Path, name: str, *command: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}
    path = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    with open(folder / f"{name}.txt", "w") as said:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**environment, "PATH": path},
            stdout=said,
            stderr=said,
            text=True,
        )


def ended(folder: Path, **processes: subprocess.Popen[str]) -> list[str]:
    """What each process said; all must have ended well."""
    try:
        codes = {name: process.wait(170) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
    said = {name: (folder / f"{name}.txt").read_text() for name in processes}
    assert set(codes.values()) == {0}, said
    return list(said.values())


def record(folder: Path) -> dict:
    (path,) = folder.glob("runs/unet/*/run.json")
    return json.loads(path.read_text())


def test_two_nodes_of_torchrun_train_one_model_and_the_first_alone_speaks(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    rendezvous = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--rdzv-id", "job"]
    nodes = {}
    for number in (0, 1):
        host = f"is_host={1 - number}"
        command = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", *rendezvous]
        nodes[f"node{number}"] = start(tmp_path, f"node{number}", *command, "--rdzv-conf", host, *WORDS)
    said = ended(tmp_path, **nodes)
    assert sorted("best validation dice" in text for text in said) == [False, True]
    assert sorted("command line train.steps=2" in text for text in said) == [False, True]
    found = record(tmp_path)
    assert (found["status"], found["world"], found["steps"]) == ("finished", 2, 2)
    assert len(set(found["parameter_bytes_per_rank"])) == 1
    assert found["parameter_bytes_per_rank"][0] < 4 * found["parameters"]["total"]


def test_the_deepspeed_launcher_starts_it_as_well(tmp_path):
    runner = ["-m", "deepspeed.launcher.runner", "--num_accelerators", "2", "--module"]
    (said,) = ended(tmp_path, launcher=start(tmp_path, "launcher", *runner, *WORDS[1:]))
    assert said.count("best validation dice") == 1
    found = record(tmp_path)
    assert (found["status"], found["world"]) == ("finished", 2)
