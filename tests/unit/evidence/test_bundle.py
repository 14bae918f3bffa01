"""A bundle holds what a check needs, no image unless asked, no name when asked, and is refused when out of date."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.unit.evidence.tampering import change_json, tampered
from vesselbench import UserError
from vesselbench.compare import compare, verdict
from vesselbench.evidence.bundle import Wish, write_bundle
from vesselbench.evidence.verify import verify
from vesselbench.report import render_comparison
from vesselbench.report.record import comparison_record
from vesselbench.rundir import write_json
from vesselbench.watch import Silent


def contents(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_masks_fields_scores_and_recipes_are_in_it_and_images_are_not(bundle, runs, dataset):
    held = contents(bundle)
    images = len(dataset.of("test"))
    for kind in ("reference/masks", "reference/fov", "reference/observer2"):
        assert sum(name.startswith(kind) for name in held) == images
    assert not any(name.startswith("reference/images") for name in held)
    for run in runs:
        place = f"runs/{run.path.parent.name}/{run.path.name}"
        assert {f"{place}/config.yaml", f"{place}/run.json", f"{place}/split.json"} <= held.keys()
        assert sum(name.startswith(f"{place}/eval/test/predictions/") for name in held) == images
        assert "command" not in json.loads(held[f"{place}/run.json"])


def test_it_states_the_verdict_of_its_runs_and_holds(bundle, runs, catalogue):
    found = verify(bundle, catalogue, Silent())
    assert found.verdict == verdict(compare(runs))
    assert found.holds, found.differences
    assert found.numbers > 1000
    assert {key.split(":")[0] for key in found.left_out} >= {"auc", "ece"}


def test_equal_runs_give_an_equal_file(runs, catalogue, tmp_path):
    names = (tmp_path / "once.zip", tmp_path / "again.zip")
    once, again = (write_bundle([run.path for run in runs], to, Wish(), catalogue, Silent()) for to in names)
    assert again.read_bytes() == once.read_bytes()


def test_images_are_in_it_when_asked_as_pixels_alone(runs, catalogue, dataset, tmp_path):
    path = write_bundle([runs[0].path], tmp_path / "b.zip", Wish(images=True), catalogue, Silent())
    pictures = {name: held for name, held in contents(path).items() if name.startswith("reference/images/")}
    assert len(pictures) == len(dataset.of("test"))
    with Image.open(io.BytesIO(next(iter(pictures.values())))) as picture:
        assert np.asarray(picture).shape == (48, 64, 3)
        assert not picture.info
    assert verify(path, catalogue, Silent()).holds


def test_no_name_is_in_it_when_asked_and_it_holds(runs, catalogue, dataset, tmp_path):
    to = tmp_path / "b.zip"
    path = write_bundle([run.path for run in runs], to, Wish(pseudonymised=True), catalogue, Silent())
    text = b"\n".join([*contents(path).values(), *(name.encode() for name in contents(path))])
    assert b"Meyer" not in text
    assert str(dataset.samples[0].image.parent.parent).encode() not in text
    assert verify(path, catalogue, Silent()).holds


def test_a_comparisons_folder_stands_for_its_runs_unless_they_were_scored_again_since(runs, catalogue, tmp_path):
    root = runs[0].path.parents[1]
    folder = root / "comparison" / "one"
    write_json(folder / "comparison.json", comparison_record(compare(runs, margin=0.5)))
    path = write_bundle([folder], tmp_path / "b.zip", Wish(), catalogue, Silent())
    assert "±0.5" in verify(path, catalogue, Silent()).verdict
    record = json.loads((folder / "comparison.json").read_text())
    record["pairs"][0]["metrics"]["dice"]["difference"] += 0.01
    (folder / "comparison.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"pairs\[0\]\.metrics\.dice\.difference"):
        write_bundle([folder], tmp_path / "c.zip", Wish(), catalogue, Silent())


def test_the_bundle_states_the_gallery_of_the_report_and_a_changed_count_is_named(runs, catalogue, tmp_path):
    report = render_comparison(compare(runs), runs[0].path.parents[1] / "comparison" / "shown", catalogue).parent
    path = write_bundle([report], tmp_path / "b.zip", Wish(), catalogue, Silent())
    stated = json.loads(contents(path)["comparison.json"])["gallery"]
    assert stated == json.loads((report / "comparison.json").read_text())["gallery"]
    assert stated["images"][0]["runs"]["sa2va"]["false_positive"] > 0
    assert verify(path, catalogue, Silent()).holds

    def more(record: dict) -> None:
        record["gallery"]["images"][0]["runs"]["sa2va"]["missed_branches"] += 1

    changed = tampered(path, tmp_path / "c.zip", change_json("comparison.json", "", more), rehash=True)
    (difference,) = verify(changed, catalogue, Silent()).differences
    assert "gallery.images[0].runs.sa2va.missed_branches" in difference


def test_nothing_is_overwritten_and_nothing_half_written_stays(runs, catalogue, tmp_path):
    (tmp_path / "b.zip").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        write_bundle([runs[0].path], tmp_path / "b.zip", Wish(), catalogue, Silent())
    with pytest.raises(UserError, match="twice"):
        write_bundle([runs[0].path] * 2, tmp_path / "c.zip", Wish(), catalogue, Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]
