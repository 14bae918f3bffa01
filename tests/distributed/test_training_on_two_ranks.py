"""Training on two CPU ranks under real ZeRO-3, through the command line (every model: test_matrix)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

SMALL = ["data.options.images=16", "data.options.size=64", "data.options.per_group=2", "train.steps=3"]
STEPS = ["train.batch_size=4", "train.micro_batch=1", "train.log_every=1", "train.validate_every=0"]
STEPS += [
    "train.workers=0",
    "train.precision=fp32",
]  # the rules of a recipe may choose bfloat16, whose sums differ more


def train(command, tmp_path, model: str, stage: int, nproc: int):
    runs = tmp_path / f"runs-{stage}-{nproc}"
    words = ["train", model, *SMALL, *STEPS, f"train.zero_stage={stage}", "--runs", str(runs), "--nproc", str(nproc)]
    done = command(*words)
    assert done.returncode == 0, done.stderr[-6000:]
    (record_file,) = runs.glob("*/*/run.json")
    record = json.loads(record_file.read_text())
    losses = [json.loads(line) for line in (record_file.parent / "train.jsonl").read_text().splitlines()]
    return record, losses


def test_stage_3_really_partitions_on_two_ranks_and_trains_like_stage_0(command, tmp_path):
    plain, plain_losses = train(command, tmp_path, "unet", stage=0, nproc=2)
    sharded, sharded_losses = train(command, tmp_path, "unet", stage=3, nproc=2)

    assert (sharded["zero_stage"], sharded["world"]) == (3, 2)
    whole = sharded["parameters"]["total"] * 4
    assert plain["parameter_bytes_per_rank"] == [whole, whole]
    for held in sharded["parameter_bytes_per_rank"]:
        assert held == pytest.approx(whole / 2, rel=0.01), "each rank holds its half and no more"

    assert [row["step"] for row in sharded_losses] == [1, 2, 3]
    for ours, theirs in zip(sharded_losses, plain_losses, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    assert sharded["status"] == "finished"
    assert sharded["best_score"] == pytest.approx(plain["best_score"], abs=1e-3)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train.batch_size=3", "train.micro_batch=1"], "train.batch_size"),  # every rank finds out
        (["data.format=pairs", "data.root=nowhere"], "nowhere"),  # rank 0 alone finds out
        (["--runs", "/proc/runs"], "/proc/runs"),  # rank 0 alone writes
    ],
)
def test_a_users_mistake_on_two_ranks_is_said_once_and_ends_with_code_2(words, expected, command):
    small = [] if "data.format=pairs" in words else SMALL
    done = command("train", "unet", *small, *words, "--nproc", "2")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("error:") == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_rank_that_is_killed_is_reported_and_its_run_is_marked_failed(tmp_path):
    words = ["train", "unet", *SMALL, "train.steps=100000", "train.validate_every=0", "--nproc", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with open(tmp_path / "err.txt", "w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "vesselbench", *words], cwd=tmp_path, env=environment, stdout=err, stderr=err
        )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("runs/unet/*/train.jsonl")):
        assert time.monotonic() < deadline, (tmp_path / "err.txt").read_text()
        time.sleep(0.5)
    ranks = [p for p in psutil.Process(process.pid).children(recursive=True) if "train" in p.cmdline()]
    ranks[-1].send_signal(signal.SIGKILL)
    assert process.wait(60) == 1
    assert "was ended by signal 9" in (tmp_path / "err.txt").read_text()
    (record,) = tmp_path.glob("runs/unet/*/run.json")
    assert json.loads(record.read_text())["status"] == "failed"
