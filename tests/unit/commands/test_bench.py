"""`vesselbench bench` measures in processes of their own, prints a table or JSON, and keeps what it found."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from vesselbench.benchmarking.kept import kept
from vesselbench.cli import app
from vesselbench.errors import UserError

PHANTOM = ["data.options.images=12", "data.options.size=64"]


def run(*words: str):
    return CliRunner().invoke(app, ["bench", *words])


def test_a_step_and_a_prediction_are_measured_shown_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["configure=[]", "model.channels=[4,8]", "train.augment.crop=32", "train.device=cpu", "model.views=1"]
    done = run("unet", *small, *PHANTOM, "--rounds", "5", "--warmup", "1")
    assert done.exit_code == 0, done.output
    (file,) = (tmp_path / "runs" / "benchmarks").iterdir()
    assert f"unet: kept in runs/benchmarks/{file.name}" in done.stderr
    (found,) = kept(tmp_path / "runs", pytest.fail)
    assert [figures.what for figures in found.figures] == ["training step", "prediction"]
    assert [(len(figures.seconds), figures.warmup) for figures in found.figures] == [(5, 1), (5, 1)]
    assert json.loads(file.read_text())["fingerprint"] == found.machine.fingerprint
    for figures in found.figures:
        assert re.search(rf"{figures.what}, seconds +{figures.median:.4g}", done.stdout)
    assert "unet: training step, 1 + 5 rounds in a process of its own" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [(["data.options.images=12"], "no recipe is named"), (["unett"], "no recipe or model named 'unett'")],
)
def test_a_mistake_is_told_before_anything_is_measured(words, message):
    assert message in str(run(*words).exception)
    assert isinstance(run(*words).exception, UserError)


def test_a_process_of_a_launcher_is_refused(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert "measures one process" in str(run("unet", *PHANTOM).exception)
