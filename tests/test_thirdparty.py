"""A plugin in a distribution of its own, installed by pip into a folder and used through the commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.testing import tiny_examples

HERE = Path(__file__).parent / "thirdparty"
RECIPE = """
model: {name: pixelwise}
data: {format: numbered, root: images, split: {val: 0.25, test: 0.25}}
train: {steps: 4, batch_size: 2, log_every: 2, lr: 0.01, augment: {rotate: false}}
evaluation: {metrics: [dice, area_error], primary: dice}
trackers: [loss_lines]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The distribution, installed by pip; built from a copy, so that nothing is left in the source tree."""
    source = tmp_path_factory.mktemp("source") / "thirdparty"
    shutil.copytree(HERE, source)
    target = tmp_path_factory.mktemp("site")
    words = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, timeout=120, capture_output=True)
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working directory with eight images of four patients and two recipes."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "images").mkdir()
    for index, example in enumerate(tiny_examples(8, (32, 32))):
        stem = folder / "images" / f"{index // 2:02d}-{index}"
        Image.fromarray(example.image).save(f"{stem}-image.png")
        Image.fromarray(example.mask.astype(np.uint8) * 255).save(f"{stem}-mask.png")
    (folder / "pixel.yaml").write_text(RECIPE)
    (folder / "small.yaml").write_text(RECIPE.replace("name: pixelwise", "name: unet, channels: [4, 8]"))
    return folder


def vesselbench(site: Path, folder: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-m", "vesselbench", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_it_is_under_60_lines_of_code_and_has_a_pyproject_of_its_own():
    lines = [line for line in (HERE / "vesselbench_sample.py").read_text().splitlines() if line.strip()]
    assert len(lines) < 60
    assert (HERE / "pyproject.toml").is_file()


def test_everything_it_adds_is_listed_with_its_distribution(site, folder):
    records = {record["name"]: record for record in json.loads(vesselbench(site, folder, "plugins", "--json"))}
    sample = records["sample"]
    assert (sample["distribution"], sample["version"]) == ("vesselbench-sample", "0.1.0")
    assert sample["registers"] == [
        "model pixelwise",
        "data set format numbered",
        "metric area_error",
        "tracker loss_lines",
    ]


def test_its_model_is_trained_evaluated_and_compared_with_a_built_in_one(site, folder):
    vesselbench(site, folder, "train", "pixel.yaml")
    (run,) = folder.glob("runs/pixel/*")
    assert (run / "loss-complete.txt").read_text().count("\n") == 2

    summary = json.loads(vesselbench(site, folder, "evaluate", str(run), "--json"))
    assert summary["metrics"]["area_error"]["count"] == 2

    printed = json.loads(vesselbench(site, folder, "compare", "pixel.yaml", "small.yaml", "--json"))
    assert "pixel" in printed["verdict"]
    assert "small" in printed["verdict"]
    assert Path(folder / printed["report"]).is_file()
    assert len(list(folder.glob("runs/pixel/*"))) == 1, "the finished run was used again"
