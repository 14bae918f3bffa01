"""`vesselbench data split` prints what data.split.file takes, and says what leaks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from vesselbench.cli_data import data_app
from vesselbench.errors import UserError


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Six patients of two images each."""
    rng = np.random.default_rng(0)
    for number in range(12):
        stem = f"p{number // 2}_{number % 2}.png"
        for folder, pixels in (
            ("images", rng.integers(0, 256, (16, 20, 3))),
            ("masks", 255 * (rng.random((16, 20)) < 0.3)),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / folder / stem)
    return ["split", "unet", "data.format=pairs", f"data.root={tmp_path}", r"data.group=(p\d)_", "data.split.test=[p0]"]


def run(words: list[str]) -> Result:
    return CliRunner().invoke(data_app, words)


def test_the_printed_split_is_taken_as_a_file(words: list[str], tmp_path: Path) -> None:
    first = run([*words, "data.split.seed=3", "data.split.subset=0.5"])
    assert first.exit_code == 0
    assert json.loads(first.stdout)["sets"]["test"] == ["p0_0", "p0_1"]
    assert "train: 4 samples of 2 groups" in first.stderr
    (tmp_path / "split.json").write_text(first.stdout)
    again = run([*words, f"data.split.file={tmp_path / 'split.json'}"])
    assert json.loads(again.stdout) == json.loads(first.stdout)


def test_leaks_are_listed_and_end_with_1(words: list[str], tmp_path: Path) -> None:
    assert (run([*words, "--leaks"]).exit_code, run([*words, "--leaks"]).stdout) == (0, "[]\n")
    images = tmp_path / "images"
    (images / "p0_0.png").write_bytes((images / "p5_0.png").read_bytes())
    listed = run([*words, "data.split.val=[p1]", "--leaks"])
    assert listed.exit_code == 1
    expected = {"kind": "bytes", "a": "p5_0", "b": "p0_0", "sets": ["train", "test"], "distance": None}
    assert json.loads(listed.stdout) == [expected]
    refused = run([*words, "data.split.val=[p1]"])
    assert isinstance(refused.exception, UserError)
    allowed = run([*words, "data.split.val=[p1]", "--allow-leak"])
    assert allowed.exit_code == 0
    assert "1 pair of equal image files across sets" in allowed.stderr
