"""`vesselbench curve` from names to page with nothing replaced: subsets, trainings, scores, and what the page shows."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.unit.report.sections import Sections
from vesselbench.rundir import RunDir

RECIPE = """\
name: {name}
model: {{name: unet, channels: {channels}, residual_units: 0, head: null, window: 32, views: 1}}
"""
TINY = "data.options={images: 12, size: 64, per_group: 2}"
SHORT = ["train.steps=2", "train.batch_size=2", "train.zero_stage=0", "train.device=cpu"]
MODELS = ("wide", "narrow")


@pytest.mark.timeout(900)  # four trainings, each in a process of its own that imports everything
def test_two_models_are_trained_on_two_nested_subsets_scored_and_drawn(tmp_path):
    recipes = []
    for name, channels in zip(MODELS, ("[4, 8]", "[2, 4]"), strict=True):
        recipes.append(tmp_path / f"{name}.yaml")
        recipes[-1].write_text(RECIPE.format(name=name, channels=channels))
    words = ["curve", *map(str, recipes), TINY, *SHORT, "--fractions", "0.5", "1.0", "--runs", str(tmp_path / "runs")]
    done = subprocess.run([sys.executable, "-m", "vesselbench", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    (folder,) = (tmp_path / "runs" / "curve").iterdir()
    record = json.loads((folder / "curve.json").read_text())
    assert [(size["fraction"], size["groups"], size["samples"]) for size in record["sizes"]] == [(0.5, 2, 4), (1, 4, 8)]
    found = {
        name: [RunDir(tmp_path / "runs" / where) for size in record["sizes"] for where in size["runs"][name]]
        for name in MODELS
    }
    for name, (half, whole) in found.items():
        small, large = (run.split().sets for run in (half, whole))
        assert (len(small["train"]), len(large["train"])) == (4, 8)
        assert set(small["train"]) < set(large["train"])
        assert (small["val"], small["test"]) == (large["val"], large["test"])
        assert [run.record()["last_step"] for run in (half, whole)] == [2, 2]
        dice = [[row.values["dice"] for row in run.scores("test").rows] for run in (half, whole)]
        points = [(point["groups"], point["mean"]) for point in record["points"][name]]
        assert points == [(2, pytest.approx(sum(dice[0]) / 2)), (4, pytest.approx(sum(dice[1]) / 2))]
    assert len({run.path for runs in found.values() for run in runs}) == 4

    (answer,) = record["answers"]
    assert answer.startswith("Up to 4 groups of training, wide has no lasting lead over narrow in dice")
    assert answer in done.stdout
    assert "2 groups (4 samples): equal budget: wide 2 steps of 2, narrow 2 steps of 2." in done.stdout
    page = (folder / "curve.html").read_text()
    assert answer in page
    assert Sections(page).headings == ["From how many on", "Budget"]
    for number, name in enumerate(MODELS):
        assert page.count(f'<circle class="ring run{number}"') == 2, "a point for each size"
        for groups, point in zip((2, 4), record["points"][name], strict=True):
            assert f"<title>{name}, {groups} groups: {point['mean']:.3f}" in page
