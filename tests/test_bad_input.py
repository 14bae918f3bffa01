"""What a user gets wrong: two lines at most, the right exit code, no half-written file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.cli import main
from vesselbench.testing import tiny_examples

TINY = ["train.steps=1", "train.batch_size=1", "model.channels=[4,8]", "train.device=cpu"]


@pytest.fixture
def pairs(tmp_path) -> Path:
    """Six good image and mask pairs of 32 x 32 pixels."""
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index, example in enumerate(tiny_examples(6, (32, 32))):
        Image.fromarray(example.image).save(tmp_path / "data/images" / f"p{index}.png")
        Image.fromarray(example.mask.astype(np.uint8) * 255).save(tmp_path / "data/masks" / f"p{index}.png")
    return tmp_path / "data"


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs the command line in `tmp_path`; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vesselbench", *words])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


def the_error(result: tuple[int, str, str]) -> str:
    """The message of a user's mistake: exit code 2, one or two lines, no traceback."""
    code, _, err = result
    assert code == 2, err
    assert "Traceback" not in err
    lines = err[err.index("error: ") :].splitlines()
    assert 1 <= len(lines) <= 2, lines
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "unett"], ["unett", "unet"]),
        (["train", "unet", "train.step=3"], ["train.step", "steps"]),
        (["train", "unet", "model.name=unot"], ["unot", "unet"]),
        (["train", "unet", "data.format=cocoo", "data.root=."], ["cocoo", "coco"]),
        (["train", "unet", "data.format=pairs"], ["pairs", "data.root"]),
        (["train", "unet", "data.format=pairs", "data.root=nowhere"], ["nowhere", "not a folder"]),
        (["evaluate", "nowhere"], ["nowhere", "run.json"]),
        (["evaluate", ".", "--set", "tset"], ["tset", "test"]),
        (["compare", "unet"], ["two names"]),
        (["compare", "unet", "sa2va", "name=x"], ["name=", "same name"]),
        (["compare", "unet", "sa2va", "--no-train"], ["no finished run", "vesselbench train unet"]),
    ],
)
def test_a_mistake_in_the_command_ends_in_its_cure(run, words, expected):
    message = the_error(run(*words))
    assert all(part in message for part in expected), message


def test_a_file_that_is_no_image_ends_a_training_and_is_a_finding_of_the_check(run, pairs):
    (pairs / "images/p3.png").write_text("not an image")
    words = ["unet", "data.format=pairs", f"data.root={pairs}"]
    assert "p3.png" in the_error(run("train", *words, *TINY))
    code, out, _ = run("data", "check", *words, "--json")
    assert code == 1
    assert "p3.png" in out


def test_a_mask_of_another_size_names_both_sizes(run, pairs):
    Image.fromarray(np.zeros((30, 32), np.uint8)).save(pairs / "masks/p2.png")
    message = the_error(run("train", "unet", "data.format=pairs", f"data.root={pairs}", *TINY))
    assert "p2.png" in message
    assert "30" in message
    assert "32" in message


@pytest.fixture
def phrases(tmp_path) -> list[str]:
    """Ten images with a phrase each, all of them "vessel" but the last, in the test set, of 300 characters."""
    (tmp_path / "data/images").mkdir(parents=True)
    records = []
    for index, example in enumerate(tiny_examples(10, (32, 32))):
        Image.fromarray(example.image).save(tmp_path / "data/images" / f"p{index}.png")
        text = "vessel" if index < 9 else "a whole report " * 20
        records.append({"image": f"p{index}.png", "mask": [[[4, 4, 28, 4, 28, 12, 4, 12]]], "text": [text]})
    (tmp_path / "data/annotations.json").write_text(json.dumps(records))
    return ["sa2va", "data.format=sa2va", f"data.root={tmp_path / 'data'}", "data.split.test=[images/p9]"]


@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["training", "dry run"])
def test_a_phrase_too_long_in_the_test_set_alone_ends_a_training_before_it_begins(run, phrases, tmp_path, more):
    message = the_error(run("train", *phrases, "train.steps=1", "train.batch_size=1", "train.device=cpu", *more))
    assert "the phrase of sample 'p9:a whole report" in message
    assert "annotations.json" in message
    assert "has 299 characters, at most 200 are allowed" in message
    assert len(message.splitlines()[0]) < 200 + len(str(tmp_path)), "the phrase itself is cut"
    assert not (tmp_path / "runs").exists()


def test_a_model_that_reads_no_phrase_trains_with_a_long_one(run, phrases, tmp_path):
    code, _, err = run("train", "unet", *phrases[1:], *TINY)
    assert code == 0, err
    assert len(list(tmp_path.glob("runs/unet/*/split.json"))) == 1


def test_a_run_directory_without_weights_says_so(run, pairs, tmp_path):
    words = ["unet", "data.format=pairs", f"data.root={pairs}", *TINY]
    run("train", *words)
    (folder,) = tmp_path.glob("runs/unet/*")
    for weights in folder.rglob("weights.safetensors"):
        weights.unlink()
    assert "no weights" in the_error(run("evaluate", str(folder)))


def test_runs_on_unlike_splits_are_not_compared(run, pairs, tmp_path):
    for seed in (0, 1):
        words = ["data.format=pairs", f"data.root={pairs}", f"data.split.seed={seed}", f"name=unet{seed}"]
        assert run("train", "unet", *words, *TINY)[0] == 0
    first, second = (next(tmp_path.glob(f"runs/unet{seed}/*")) for seed in (0, 1))
    assert "split" in the_error(run("compare", str(first), str(second)))
    assert not (tmp_path / "runs/comparison").exists()


def test_data_that_changed_since_the_training_are_not_scored(run, pairs, tmp_path):
    run("train", "unet", "data.format=pairs", f"data.root={pairs}", *TINY)
    (folder,) = tmp_path.glob("runs/unet/*")
    assert run("evaluate", str(folder))[0] == 0
    assert "cannot change it" in the_error(run("compare", str(folder), "unet", "train.steps=3"))
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(pairs / "masks/p0.png")
    assert "have changed since" in the_error(run("evaluate", str(folder)))


def test_a_full_disk_ends_in_two_lines_and_leaves_nothing_half_written(pairs, tmp_path):
    """The kernel's file size limit stands in for the full disk: the weights are larger than what may be written."""
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from vesselbench.cli import main; main()"
    )
    words = ["train", "unet", "data.format=pairs", f"data.root={pairs}", "train.steps=1", "train.batch_size=1"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    message = the_error((done.returncode, done.stdout, done.stderr))
    assert "weights.safetensors" in message
    assert "free space" in message
    (folder,) = tmp_path.glob("runs/unet/*")
    assert '"status": "failed"' in (folder / "run.json").read_text()
    assert not list(folder.rglob("weights.safetensors"))
    assert not [path for path in folder.rglob("*.tmp") if path.is_file()]
