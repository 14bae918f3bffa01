"""What `vesselbench predict` writes and says, and what it does with images that fail."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vesselbench import UserError
from vesselbench.cli import app
from vesselbench.data.read import load_example
from vesselbench.evaluation.predict import load_predictor
from vesselbench.predicting.command import predict_command
from vesselbench.predicting.inputs import find_images
from vesselbench.predicting.predict import FAILED, Question, predict_images, questions_of, refuse_hopeless
from vesselbench.predicting.sources import open_source
from vesselbench.types import Sample
from vesselbench.watch import Silent
from vesselbench_sa2va.collate import Collator


class Lines(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def command(run, images, to, catalogue, watch=None, **options):
    given = {"prompt": None, "threshold": None, "device": "cpu", **options}
    return predict_command(run.path, images, catalogue=catalogue, watch=watch or Silent(), to=to, **given)


def test_mask_probability_and_overlay_are_what_the_model_says_at_the_images_own_size(unet, write, catalogue, tmp_path):
    path = write("in/eye.png", (30, 44))
    outcome = command(unet, [tmp_path / "in"], tmp_path / "out", catalogue)
    (row,) = outcome.rows
    (said,) = load_predictor(unet, catalogue, "cpu")([load_example(Sample("x", path, None))])
    mask = np.asarray(Image.open(tmp_path / "out" / row["mask"]))
    stored = np.asarray(Image.open(tmp_path / "out" / row["probability"]))
    assert np.array_equal(mask, said.mask(0.5))
    assert stored.dtype == np.uint16
    assert np.abs(stored / 65535 - said.probability).max() <= 1 / 131070 + 1e-7
    assert np.asarray(Image.open(tmp_path / "out" / row["overlay"])).shape == (30, 44, 3)
    assert row["vessel_fraction"] == mask.mean()


def test_the_table_and_the_record_say_the_same(unet, write, catalogue, tmp_path):
    write("in/a/eye.png"), write("in/b/eye.png")
    command(unet, [tmp_path / "in"], tmp_path / "out", catalogue, threshold=0.25)
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [row["file"] for row in record["predictions"]] == ["a/eye.png", "b/eye.png"]
    assert [float(row["vessel_fraction"]) for row in rows] == [row["vessel_fraction"] for row in record["predictions"]]
    assert {row["threshold"] for row in rows} == {"0.25"}
    assert record["threshold_from"] == "command line"
    assert record["weights_sha256"] == unet.record()["weights_sha256"]
    assert record["statuses"] == {"ok": 2}


def test_an_image_that_cannot_be_read_is_named_and_counted_and_the_rest_is_done(unet, write, tmp_path, monkeypatch):
    write("in/a.png"), write("in/c.png")
    (tmp_path / "in" / "b.png").write_bytes(b"not a picture")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["predict", str(unet.path), "in", "--to", "out", "--device", "cpu"])
    assert done.exit_code == 1
    assert "failed: in/b.png is not an image" in done.stderr
    assert "1 failed, 2 ok" in done.stdout
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert (tmp_path / "out" / "masks" / "c.png").is_file()


def test_nothing_is_overwritten_and_the_default_folder_is_new(unet, write, tmp_path, monkeypatch, catalogue):
    path = write("in/a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="not empty"):
        command(unet, [path], tmp_path / "out", catalogue)
    monkeypatch.chdir(tmp_path)
    first, second = (command(unet, [path], None, catalogue).folder for _ in range(2))
    assert first != second
    assert first.parts[:2] == ("predictions", "net")


def test_a_prediction_that_is_not_finite_fails_by_name(unet, write, catalogue, tmp_path):
    path = write("in/a.png")
    predictor = load_predictor(unet, catalogue, "cpu")
    for parameter in predictor.module.parameters():
        parameter.data.fill_(float("nan"))
    watch = Lines()
    outcome = predict_images(predictor, find_images([path]), [Question("vessel", "")], 0.5, tmp_path, watch)
    assert outcome.failed == 1
    assert "not finite" in watch.lines[0]


def test_every_target_of_a_fixed_head_gets_its_own_pictures(make_run, write, catalogue, tmp_path):
    run = make_run({"name": "unet", "channels": [4, 8]}, ("artery", "vein"))
    outcome = command(run, [write("in/a.png")], tmp_path / "out", catalogue)
    assert [row["mask"] for row in outcome.rows] == ["masks/artery/a.png", "masks/vein/a.png"]


def test_a_prompt_is_refused_by_a_model_that_reads_none_before_anything_is_written(unet, write, catalogue, tmp_path):
    with pytest.raises(UserError, match="reads no prompt"):
        command(unet, [write("a.png")], tmp_path / "out", catalogue, prompt="vessel")
    assert not (tmp_path / "out").exists()


def test_a_model_that_reads_phrases_is_asked_what_it_was_trained_with_or_what_is_given(make_run, catalogue):
    model = {"name": "sa2va"}
    source = open_source(make_run(model).path, catalogue)
    assert questions_of(source, None) == [Question("vessel", "a vessel")]
    assert questions_of(source, "thin vessel") == [Question("vessel", "thin vessel")]
    with pytest.raises(UserError, match="prompt is empty"):
        questions_of(source, " ")
    for prompts, message in ((None, "does not say"), ({"vessel": ["a", "b"]}, "2 phrases: 'a', 'b'")):
        with pytest.raises(UserError, match=message):
            questions_of(open_source(make_run(model, prompts=prompts).path, catalogue), None)


def short_of_text(predictor, positions):
    """The predictor with a language model that takes fewer tokens, and images of up to 13 tiles."""
    collate = predictor.collate
    language = replace(collate.shape.language, positions=positions)
    config = collate.config.model_copy(update={"max_tiles": 12})
    return replace(predictor, collate=Collator(config, replace(collate.shape, language=language), collate.tokenizer))


def test_an_image_that_the_model_refuses_is_a_failed_row_and_the_rest_is_done(make_run, write, catalogue, tmp_path):
    write("in/a.png", (40, 40)), write("in/b.png", (20, 240)), write("in/c.png", (40, 40))
    predictor = short_of_text(load_predictor(make_run({"name": "sa2va"}), catalogue, "cpu"), 100)
    inputs, watch, questions = find_images([tmp_path / "in"]), Lines(), [Question("vessel", "a vessel")]
    refuse_hopeless(predictor, questions)
    outcome = predict_images(predictor, inputs, questions, 0.5, tmp_path, watch)
    assert [row["status"] == FAILED for row in outcome.rows] == [False, True, False]
    assert outcome.failed == 1
    assert re.search(
        r"sample 'b.png' .* 52 of them for 13 tiles; the language model takes 100", outcome.rows[1]["reason"]
    )
    assert watch.lines == [f"failed: {outcome.rows[1]['reason']}"]


def test_a_phrase_too_long_for_the_model_whatever_the_image_is_refused(make_run, catalogue):
    predictor = short_of_text(load_predictor(make_run({"name": "sa2va"}), catalogue, "cpu"), 50)
    with pytest.raises(UserError, match="the language model takes 50") as caught:
        refuse_hopeless(predictor, [Question("vessel", "a vessel")])
    assert caught.value.hint == "shorten the phrase"


def test_a_phrase_that_fits_no_image_ends_the_command_without_a_folder(
    make_run, write, tmp_path, monkeypatch, catalogue
):
    run, path = make_run({"name": "sa2va"}), write("in/a.png")
    monkeypatch.chdir(tmp_path)
    for to in (tmp_path / "out", tmp_path / "new" / "out", None):
        with pytest.raises(UserError, match=r"asked about any image: .* has 201 characters, at most 200") as caught:
            command(run, [path], to, catalogue, prompt="v" * 201)
        assert caught.value.hint == "give the name of the structure only"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_folder_that_cannot_be_made_is_a_user_error(unet, write, tmp_path, monkeypatch, catalogue):
    path = write("in/a.png")
    (tmp_path / "predictions").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="cannot make the folder predictions/net") as caught:
        command(unet, [path], None, catalogue)
    assert caught.value.hint == "name another with --to"


def test_a_phrase_changes_what_a_model_that_reads_it_draws(make_run, write, catalogue, tmp_path):
    run, path = make_run({"name": "sa2va"}), write("in/a.png", (32, 32))
    rows = [command(run, [path], tmp_path / word, catalogue, prompt=word).rows[0] for word in ("vessel", "catheter")]
    maps = [np.asarray(Image.open(tmp_path / row["prompt"] / row["probability"])) for row in rows]
    assert not np.array_equal(*maps)


def test_a_long_list_of_what_is_left_out_is_counted_and_shortened(unet, write, catalogue, tmp_path):
    write("in/a.png")
    for number in range(7):
        (tmp_path / "in" / f"{number}.txt").write_text("x")
    watch = Lines()
    command(unet, [tmp_path / "in"], tmp_path / "out", catalogue, watch=watch)
    assert any(line.startswith("not an image by its name, left out: 7 (") and "..." in line for line in watch.lines)
    assert len(json.loads(Path(tmp_path / "out" / "predictions.json").read_text())["no_images"]) == 7
