"""An evaluation that was stopped goes on where it was, and ends in the same scores; what is damaged is named."""

import logging
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.config import EvalConfig
from vesselbench.data.read import load_example
from vesselbench.evaluation.evaluate import evaluate
from vesselbench.rundir import RunDir
from vesselbench.types import MaskFile, Prediction, Sample

ROOT = Path(__file__).parents[3]
METRICS = ["dice", "auc", "cldice", "recall_by_width"]
FIXED = EvalConfig(threshold=0.5, metrics=METRICS)
CHOSEN = EvalConfig(metrics=METRICS)
KNOWN = {"set_name": "val", "fingerprint": "f" * 64, "weights_sha256": "a" * 64}


class Failing:
    """The images' grey values, until it was asked for `last` images."""

    def __init__(self, last=None):
        self.last, self.asked = last, []

    def __call__(self, examples):
        if self.last is not None and len(self.asked) == self.last:
            raise RuntimeError("no power")
        self.asked.extend(e.sample.id for e in examples)
        return [Prediction(e.sample.id, e.image[..., 0].astype(np.float32) / 255) for e in examples]


def stopped(config, samples, catalogue, run, after, **known):
    with pytest.raises(RuntimeError, match="no power"):
        evaluate(Failing(after), samples, config, catalogue, run=run, **{**KNOWN, **known})


@pytest.mark.parametrize("config", [FIXED, CHOSEN], ids=["known threshold", "threshold to be chosen"])
def test_what_was_predicted_is_not_predicted_again_and_the_scores_are_the_same(
    config, catalogue, write_samples, tmp_path
):
    samples, run = write_samples(6, observers=True, fov=True), RunDir.new(tmp_path, "grey")
    stopped(config, samples, catalogue, run, after=4)
    again = Failing()
    resumed = evaluate(again, samples, config, catalogue, run=run, **KNOWN)
    assert again.asked == ["eye 4", "eye 5"]
    whole = evaluate(Failing(), samples, config, catalogue, run=RunDir.new(tmp_path, "other"), **KNOWN)
    assert resumed.scores == whole.scores
    assert run.scores("val") == whole.scores
    assert resumed.summary["observer2"] == whole.summary["observer2"]
    assert resumed.summary["images_per_second"] == pytest.approx(6 / resumed.summary["seconds"])
    names = {path.name for path in run.evaluation("val").iterdir()}
    assert names == {"scores.jsonl", "summary.json", "observer2.jsonl", "predictions"}


@pytest.mark.parametrize(
    ("config", "known"),
    [
        (FIXED, {"weights_sha256": "b" * 64}),
        (FIXED, {"fingerprint": "e" * 64}),
        (FIXED.model_copy(update={"threshold": 0.4}), {}),
        (FIXED.model_copy(update={"metrics": ["dice"]}), {}),
        (EvalConfig(threshold=0.5, metrics=METRICS, options={"width_edges": (3.0,)}), {}),
        (CHOSEN, {"weights_sha256": "b" * 64}),
    ],
)
def test_other_weights_data_thresholds_metrics_or_options_start_anew(config, known, catalogue, write_samples, tmp_path):
    samples, run = write_samples(3), RunDir.new(tmp_path, "grey")
    stopped(CHOSEN if config.threshold == "validation" else FIXED, samples, catalogue, run, after=2)
    again = Failing()
    evaluate(again, samples, config, catalogue, run=run, **{**KNOWN, **known})
    assert len(again.asked) == 3


def test_a_damaged_mask_is_named_and_made_again(catalogue, write_samples, tmp_path, caplog):
    samples, run = write_samples(5), RunDir.new(tmp_path, "grey")
    stopped(FIXED, samples, catalogue, run, after=4)
    first, second = (run.prediction_file("val", sample.id) for sample in samples[:2])
    first.write_bytes(first.read_bytes()[:40])
    Image.fromarray(~np.asarray(Image.open(second))).save(second)
    again = Failing()
    with caplog.at_level(logging.WARNING, "vesselbench"):
        result = evaluate(again, samples, FIXED, catalogue, run=run, **KNOWN)
    assert again.asked[:2] == [samples[0].id, samples[1].id]
    assert samples[2].id not in again.asked
    assert all(f"{path} is damaged or missing" in caplog.text for path in (first, second))
    assert result.scores == evaluate(Failing(), samples, FIXED, catalogue, **KNOWN).scores


def test_a_damaged_prediction_without_threshold_is_named_and_made_again(catalogue, write_samples, tmp_path, caplog):
    samples, run = write_samples(4), RunDir.new(tmp_path, "grey")
    stopped(CHOSEN, samples, catalogue, run, after=3)
    path = sorted(run.spool_folder("val").glob("*.npy"))[0]
    path.write_bytes(path.read_bytes()[:-4] + b"oops")
    again = Failing()
    with caplog.at_level(logging.WARNING, "vesselbench"):
        evaluate(again, samples, CHOSEN, catalogue, run=run, **KNOWN)
    assert f"{path} is damaged or missing" in caplog.text
    assert again.asked == ["eye 0", "eye 3"]


def test_half_a_line_of_the_journal_costs_that_image_only(catalogue, write_samples, tmp_path):
    samples, run = write_samples(5), RunDir.new(tmp_path, "grey")
    stopped(FIXED, samples, catalogue, run, after=4)
    (path,) = run.unfinished_files("val")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], '{"row": 7}', *lines[2:]])[:-30])
    again = Failing()
    evaluate(again, samples, FIXED, catalogue, run=run, **KNOWN)
    assert len(lines) == 5
    assert len(again.asked) == 3, "the damaged one, the half one and the one that was not there"


def test_probabilities_are_stored_in_16_bits_when_asked_for(catalogue, write_samples, tmp_path):
    samples, run = write_samples(1), RunDir.new(tmp_path, "grey")
    evaluate(Failing(), samples, FIXED, catalogue, run=run, **KNOWN)
    assert not run.probability_file("val", samples[0].id).exists()
    kept = FIXED.model_copy(update={"store_probabilities": True})
    evaluate(Failing(), samples, kept, catalogue, run=run, **KNOWN)
    with Image.open(run.probability_file("val", samples[0].id)) as image:
        stored = np.asarray(image)
    assert stored.dtype == np.uint16
    exact = Failing()([load_example(replace(samples[0]))])[0].probability
    assert abs(stored / 65535 - exact).max() <= 0.5 / 65535 + 1e-9


SCRIPT = """
import os, signal, sys
from pathlib import Path
import tests.unit.evaluation.test_resume as here
from vesselbench.evaluation.evaluate import evaluate
from vesselbench.plugins import load_catalogue
from vesselbench.rundir import RunDir

place, grey = Path(sys.argv[1]), here.Failing()
def predict(examples):
    if len(grey.asked) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return grey(examples)
evaluate(predict, here.stripes(place), here.FIXED, load_catalogue(), run=RunDir(place / "run"), **here.KNOWN)
"""


def stripes(place):
    return [Sample(f"eye {n}", place / f"{n}.png", MaskFile(place / f"{n}.png")) for n in range(6)]


def test_a_killed_process_goes_on_where_it_was(tmp_path, catalogue):
    for number in range(6):
        mask = np.zeros((24, 32), bool)
        mask[4 + number : 9 + number] = True
        Image.fromarray(mask).save(tmp_path / f"{number}.png")
    words = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    killed = subprocess.run(words, capture_output=True, text=True, timeout=100, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "run/eval/val/summary.json").exists()
    again = Failing()
    result = evaluate(again, stripes(tmp_path), FIXED, catalogue, run=RunDir(tmp_path / "run"), **KNOWN)
    assert 2 <= len(again.asked) < 6
    assert again.asked == [f"eye {number}" for number in range(6 - len(again.asked), 6)]
    assert [row.values["dice"] for row in result.scores.rows] == [1.0] * 6


@pytest.mark.parametrize("config", [FIXED, CHOSEN], ids=["known threshold", "threshold to be chosen"])
def test_it_is_said_that_it_goes_on(config, catalogue, write_samples, tmp_path, caplog):
    samples, run = write_samples(5), RunDir.new(tmp_path, "grey")
    with caplog.at_level(logging.INFO, "vesselbench"):
        stopped(config, samples, catalogue, run, after=4)
        assert "it goes on" not in caplog.text
        evaluate(Failing(), samples, config, catalogue, run=run, **KNOWN)
    assert "4 images of " in caplog.text
    assert "were done before it was stopped; it goes on" in caplog.text
