"""`vesselbench data split` prints what data.split.file takes, and says what leaks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from vesselbench.commands.data import data_app
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


def test_a_folder_is_split_like_the_recipe_that_names_it(words: list[str], tmp_path: Path) -> None:
    recipe = run(words)
    folder = run(["split", str(tmp_path), *words[4:]])
    assert folder.exit_code == 0, folder.output
    assert json.loads(folder.stdout) == json.loads(recipe.stdout)


def test_a_ceiling_of_a_folder_needs_a_model_and_equals_that_of_the_recipe(words: list[str], tmp_path: Path) -> None:
    recipe = run(["ceiling", *words[1:5], "--json", "--limit", "2"])
    folder = run(["ceiling", str(tmp_path), words[4], "--model", "unet", "--json", "--limit", "2"])
    assert json.loads(folder.stdout) == json.loads(recipe.stdout)
    assert "drawn phantoms" not in folder.stderr
    refused = run(["ceiling", str(tmp_path)])
    assert isinstance(refused.exception, UserError)
    assert "--model" in refused.exception.hint
    both = run(["ceiling", "unet", "--model", "unet"])
    assert "is a recipe already" in str(both.exception)


def test_a_check_of_a_folder_looks_for_thin_vessels_when_a_model_is_named(tmp_path: Path) -> None:
    for folder, pixels in (("images", np.full((256, 256), 90, np.uint8)), ("masks", np.zeros((256, 256), np.uint8))):
        pixels[::16] = pixels[:, ::24] = 255
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    assert "thin-structures" not in run(["check", str(tmp_path)]).stdout
    named = run(["check", str(tmp_path), "--model", "sa2va", "model.loss_target=official"])
    assert named.exit_code == 0, named.output
    assert "thin-structures" in named.stdout


@pytest.mark.parametrize("place", ["images", "."])
def test_a_taken_folder_for_a_mended_copy_is_refused_before_the_check(
    words: list[str], tmp_path: Path, place: str
) -> None:
    refused = run(["check", str(tmp_path), "--fix", str(tmp_path / place)])
    assert isinstance(refused.exception, UserError)
    assert refused.stdout == ""
    assert "check 1" not in refused.stderr
