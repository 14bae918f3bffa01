"""``train.cache_features`` on two real ranks under ZeRO-3: each image computed once, the same losses."""

from __future__ import annotations

import json

import pytest

from vesselbench.config import AugmentConfig

pytestmark = pytest.mark.timeout(290)
WORDS = [
    *("train", "sa2va", "--nproc", "2", "data.options.images=12", "data.options.size=64", "model.freeze=official"),
    *("train.steps=2", "train.batch_size=2", "train.zero_stage=3", "train.log_every=1", "train.validate_first=false"),
    *("train.augment.crop=null", "evaluation.metrics=[dice]", "train.device=cpu"),
    *(f"train.augment.{key}=0" for key in AugmentConfig.model_fields if key != "crop"),
]


def test_ranks_share_the_work_and_losses_stay_the_same(command, tmp_path):
    losses = []
    for words in ([], [f"train.cache_features={tmp_path / 'f'}"]):
        done = command(*WORDS, *words, "--runs", str(tmp_path / f"runs{len(words)}"))
        assert done.returncode == 0, done.stderr
        (log,) = (tmp_path / f"runs{len(words)}").rglob("train.jsonl")
        losses.append([json.loads(line)["loss"] for line in log.read_text().splitlines()])
    assert losses[0] == losses[1]
    entries = list((tmp_path / "f").rglob("*"))
    images = sum(path.suffix == ".safetensors" for path in entries)
    assert f"{images} training images" in done.stderr
    assert f"{images} computed now" in done.stderr
    assert images > 2, "more images than ranks"
    assert not [path for path in entries if path.suffix == ".tmp"]
