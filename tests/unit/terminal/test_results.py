"""What the terminal shows of scores."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from vesselbench.config import EvalConfig
from vesselbench.evaluation.evaluate import evaluate
from vesselbench.plugins import load_catalogue
from vesselbench.rundir import RunDir
from vesselbench.terminal.results import summary_table
from vesselbench.types import MaskFile, Prediction, Sample


def printed(summary) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(summary_table(summary))
    return console.file.getvalue()


@pytest.fixture
def summary(tmp_path):
    """Of four images, one for each case of the empty masks; a second observer has drawn the first two."""
    full, empty = np.zeros((12, 12), bool), np.zeros((12, 12), bool)
    full[4:8] = True
    cases = [(full, full), (empty, full), (full, empty), (empty, empty)]
    samples = []
    for number, (reference, drawn) in enumerate(cases):
        for name, mask in (("mask", reference), ("image", drawn)):
            Image.fromarray(mask).save(tmp_path / f"{name}{number}.png")
        mask = MaskFile(tmp_path / f"mask{number}.png", (255,))
        human = mask if number < 2 else None
        samples.append(Sample(f"eye {number}", tmp_path / f"image{number}.png", mask, observer2=human))
    config, catalogue = EvalConfig(threshold=0.5, metrics=["dice", "recall_by_width"]), load_catalogue("")
    drawn = dict(zip([sample.id for sample in samples], [mask for _, mask in cases], strict=True))

    def predict(examples):
        return [Prediction(e.sample.id, drawn[e.sample.id].astype(np.float32)) for e in examples]

    known = {"set_name": "test", "fingerprint": "f", "weights_sha256": "w", "run": RunDir(tmp_path / "run")}
    return evaluate(predict, samples, config, catalogue, **known).summary


def test_every_case_of_empty_masks_is_counted_and_every_reason_of_an_absent_value(summary):
    lines = printed(summary)
    for case in ("ok", "both_empty", "empty_prediction", "empty_reference"):
        assert summary["cases"][case] == 1
        assert case.replace("_", " ") in lines.replace("_", " ")
    assert "without value, the reference has no vessel" in lines
    assert "nan" not in lines.lower()


def test_the_second_observer_stands_beside_the_model_with_the_number_of_images(summary):
    lines = printed(summary)
    assert "second observer of 2" in lines
    (row,) = [line for line in lines.splitlines() if " dice " in line]
    assert row.count("1.0000") == 1, "the observer's mean; the model's is 0.5"
    assert "second observer" not in printed({**summary, "observer2": None})
