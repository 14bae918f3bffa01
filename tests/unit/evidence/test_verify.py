"""What was changed in a bundle is found and named, also where the one who changed it made the hashes anew."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.unit.evidence.tampering import change_json, flip_pixel, named, tampered
from vesselbench import UserError
from vesselbench.cli import app
from vesselbench.compare import compare, with_ladder
from vesselbench.comparing.scored import read_scored
from vesselbench.data.read import load_example
from vesselbench.evaluation.ladder import measure_ladder
from vesselbench.evidence.bundle import Wish, write_bundle
from vesselbench.evidence.recompute import evaluation_of
from vesselbench.evidence.rungs import NAMES, SETTINGS
from vesselbench.evidence.verify import NO_IMAGES, NO_LADDER, Verification, verify
from vesselbench.report.record import comparison_record
from vesselbench.rundir import write_json
from vesselbench.watch import Silent


def raise_dice(row: dict) -> None:
    row["values"]["dice"] = min(1.0, row["values"]["dice"] + 1e-6) if row["values"]["dice"] < 1 else 1 - 1e-6


def raise_mean(summary: dict) -> None:
    summary["metrics"]["dice"]["mean"] += 1e-6


def raise_difference(record: dict) -> None:
    record["pairs"][0]["metrics"]["dice"]["interval"]["low"] += 1e-6


def change_weights(value: dict) -> None:
    value["weights_sha256"] = value["weights_sha256"][:-1] + "0"


def move_a_patient(split: dict) -> None:
    split["sets"]["val"] = [*split["sets"]["val"], split["sets"]["train"].pop()]


def drop_a_test_image(split: dict) -> None:
    split["sets"]["test"] = split["sets"]["test"][1:]


def raise_metric_threshold(held: dict[str, bytes]) -> None:
    name = named(held, "runs/", "config.yaml")
    assert b"cldice" in held[name]
    held[name] = held[name].replace(b"tolerance: 2.0", b"tolerance: 3.0").replace(b"- cldice", b"- nsd")


CASES = {
    "a predicted pixel": (flip_pixel("runs/", "predictions/"), "mask_sha256"),
    "a reference pixel": (flip_pixel("reference/masks", ""), "scores of"),
    "a field of view": (flip_pixel("reference/fov", ""), "counts.tn"),
    "a score": (change_json("runs/", "scores.jsonl", raise_dice), ".dice: stated"),
    "a mean": (change_json("runs/", "summary.json", raise_mean), "summary.json.metrics.dice.mean"),
    "an interval": (change_json("comparison.json", "", raise_difference), "pairs[0].metrics.dice.interval.low"),
    "a sentence": (change_json("comparison.json", "", lambda r: r.update(verdict="All is well.")), ".verdict: stated"),
    "a hash of weights": (change_json("runs/", "run.json", change_weights), "weights_sha256 of run.json"),
    "a second observer": (flip_pixel("reference/observer2", ""), "second observer"),
    "a split": (change_json("runs/", "split.json", move_a_patient), "their train sets differ"),
    "a test set": (change_json("runs/", "split.json", drop_a_test_image), "do not cover its test set"),
    "a recipe's metrics": (raise_metric_threshold, "nsd"),
    "a spacing": (change_json("reference/", "samples.jsonl", lambda s: s.update(target="x")), "group and target"),
    "a margin": (change_json("bundle.json", "", lambda manifest: manifest.update(margin=0.5)), "json.margin: stated"),
    "a time of the ledger": (
        change_json("comparison.json", "", lambda r: r["scorings"]["entries"][0].update(time="2020")),
        "ledger, entry 1, sha256",
    ),
    "a whole ledger": (change_json("comparison.json", "", lambda r: r.update(scorings=None)), "ledger: stated"),
}


def check(path: Path, catalogue) -> Verification:
    return verify(path, catalogue, Silent())


@pytest.mark.parametrize("what", CASES)
def test_one_change_is_named_even_when_the_hashes_were_made_anew(bundle, catalogue, tmp_path, what):
    change, name = CASES[what]
    found = check(tampered(bundle, tmp_path / "b.zip", change, rehash=True), catalogue)
    assert not found.holds
    assert any(name in line for line in (*found.differences, found.stopped)), (found.differences, found.stopped)
    assert not any("SHA-256 of" in line for line in found.differences)


KINDS = {
    "the list of files": ("bundle.json", ""),
    "the comparison": ("comparison.json", ""),
    "a recipe": ("runs/", "config.yaml"),
    "a run": ("runs/", "run.json"),
    "a split": ("runs/", "split.json"),
    "scores": ("runs/", "scores.jsonl"),
    "a second observer's scores": ("runs/", "observer2.jsonl"),
    "a summary": ("runs/", "summary.json"),
    "a predicted mask": ("runs/", ".png"),
    "samples": ("reference/", "samples.jsonl"),
    "a reference": ("reference/masks", ".png"),
    "a field of view": ("reference/fov", ".png"),
    "a second observer's mask": ("reference/observer2", ".png"),
}


def test_every_kind_of_file_of_a_bundle_is_among_those_that_are_changed(bundle):
    with zipfile.ZipFile(bundle) as opened:
        for path in opened.namelist():
            assert any(path.startswith(start) and path.endswith(end) for start, end in KINDS.values()), path


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_flipped_bit_of_any_file_ends_with_1_and_its_name(bundle, tmp_path, what, place):
    def flip(held: dict[str, bytes]) -> None:
        name = named(held, *KINDS[what])
        content = bytearray(held[name])
        content[int(place * len(content))] ^= 0x04
        held[name] = bytes(content)

    with zipfile.ZipFile(bundle) as opened:
        name = named(dict.fromkeys(opened.namelist(), b""), *KINDS[what])
    done = CliRunner().invoke(app, ["verify", str(tampered(bundle, tmp_path / "b.zip", flip, rehash=False))])
    assert done.exit_code == 1, done.output
    assert name in done.stdout
    assert "does not hold" in done.stdout


@pytest.mark.parametrize("what", [what for what in KINDS if what != "the list of files"])
def test_a_deleted_file_ends_with_1_and_its_name(bundle, tmp_path, what):
    with zipfile.ZipFile(bundle) as opened:
        name = named(dict.fromkeys(opened.namelist(), b""), *KINDS[what])
    bad = tampered(bundle, tmp_path / "b.zip", lambda held: held.pop(name), rehash=False)
    done = CliRunner().invoke(app, ["verify", str(bad)])
    assert done.exit_code == 1, done.output
    assert f"DIFFERS: SHA-256 of {name}: stated" in done.stdout


def test_a_byte_changed_in_the_zip_itself_ends_with_1_and_the_name_of_the_file(bundle, tmp_path):
    content = bytearray(bundle.read_bytes())
    with zipfile.ZipFile(bundle) as opened:
        entry = opened.getinfo("comparison.json")
    content[entry.header_offset + 200 + entry.compress_size // 2] ^= 0x04
    (tmp_path / "b.zip").write_bytes(bytes(content))
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "b.zip")])
    assert done.exit_code == 1, done.output
    assert "SHA-256 of comparison.json" in done.stdout
    assert "damaged in the zip file" in done.stdout


def test_one_changed_hash_in_the_list_is_named(bundle, catalogue, tmp_path):
    def change(held: dict[str, bytes]) -> None:
        manifest = json.loads(held["bundle.json"])
        manifest["files"]["comparison.json"] = "0" * 64
        held["bundle.json"] = json.dumps(manifest).encode()

    found = check(tampered(bundle, tmp_path / "b.zip", change, rehash=False), catalogue)
    named = [line.split(":")[0] for line in found.differences]
    assert named == ["SHA-256 of bundle.json", "SHA-256 of comparison.json"]


def test_a_missing_and_an_added_file_are_named(bundle, catalogue, tmp_path):
    def change(held: dict[str, bytes]) -> None:
        del held[named(held, "runs/", ".png")]
        held["more.txt"] = b"x"

    found = check(tampered(bundle, tmp_path / "b.zip", change, rehash=False), catalogue)
    assert any("more.txt" in line and "not listed" in line for line in found.differences)
    assert any("no such file" in line for line in found.differences)
    assert any("no predicted mask" in line for line in found.differences)


@pytest.mark.parametrize("content", [b"not a zip", b""])
def test_what_is_no_bundle_is_a_users_mistake(catalogue, tmp_path, content):
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(UserError, match="not a whole zip"):
        check(tmp_path / "b.zip", catalogue)


def test_a_zip_that_is_no_bundle_and_one_of_another_layout_are_refused(bundle, catalogue, tmp_path):
    with pytest.raises(UserError, match=r"no bundle\.json"):
        check(tampered(bundle, tmp_path / "a.zip", lambda held: held.pop("bundle.json"), rehash=False), catalogue)
    other = change_json("bundle.json", "", lambda manifest: manifest.update(form=99))
    with pytest.raises(UserError, match="another layout"):
        check(tampered(bundle, tmp_path / "b.zip", other, rehash=False), catalogue)
    outside = change_json("bundle.json", "", lambda manifest: manifest.update(runs=["../../elsewhere"]))
    found = check(tampered(bundle, tmp_path / "c.zip", outside, rehash=True), catalogue)
    assert found.stopped.startswith("the bundle holds not all the runs that it names")
    assert not found.holds


def test_the_command_ends_with_1_when_something_differs_and_with_0_when_nothing_does(bundle, tmp_path):
    bad = tampered(bundle, tmp_path / "b.zip", flip_pixel("runs/", "predictions/"), rehash=True)
    done = CliRunner().invoke(app, ["verify", str(bad)])
    assert done.exit_code == 1
    assert "DIFFERS" in done.stdout
    done = CliRunner().invoke(app, ["verify", str(bundle)])
    assert done.exit_code == 0
    assert re.fullmatch(
        r"holds: \d,\d\d\d numbers recomputed, \d+ taken as stated \(auc, ece: no probabilities in the bundle; "
        r"fingerprint of the split: .*\)",
        done.stdout.splitlines()[-1],
    )


def test_stored_probabilities_are_in_the_bundle_and_their_metrics_are_recomputed(scored, dataset, catalogue, tmp_path):
    run = scored("graded", 2)
    for sample in dataset.of("test"):
        moved = np.roll(load_example(sample).mask, 2, axis=0)
        levels = np.rint(np.where(moved, 0.8, 0.3) * 65535).astype(np.uint16)
        path = run.probability_file("test", sample.id)
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(levels).save(path)
    bundle = write_bundle([run.path], tmp_path / "b.zip", Wish(), catalogue, Silent())
    found = check(bundle, catalogue)
    assert found.holds, found.differences
    assert found.rough == sum(row.values["auc"] is not None for row in run.scores("test").rows) + len(
        dataset.of("test")
    )
    assert not any(reason.startswith(("auc", "ece")) for reason in found.left_out)

    def darken(held: dict[str, bytes]) -> None:
        name = next(name for name in sorted(held) if "/probabilities/" in name)
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((48, 64), np.uint16)).save(buffer, "PNG")
        held[name] = buffer.getvalue()

    assert any(
        ".ece: stated" in line
        for line in check(tampered(bundle, tmp_path / "c.zip", darken, True), catalogue).differences
    )


@pytest.fixture(scope="session")
def report(runs, dataset, catalogue, tmp_path_factory) -> Path:
    """A comparison's folder that holds the ladder."""
    config = evaluation_of(read_scored(runs[0], "test"))
    ladder = measure_ladder(dataset.of("test"), dataset.of("val"), config, catalogue)
    folder = runs[0].path.parents[1] / "comparison" / "with_ladder"
    write_json(folder / "comparison.json", comparison_record(with_ladder(compare(runs), ladder)))
    return folder


@pytest.mark.parametrize("rung", ["empty", "reference", "shifted", "dilated", "eroded", "broken"])
def test_a_changed_rung_of_the_ladder_is_named(report, catalogue, tmp_path, rung):
    whole = write_bundle([report], tmp_path / "b.zip", Wish(), catalogue, Silent())

    def edit(record: dict) -> None:
        held = next(one for one in record["ladder"]["rungs"] if one["name"] == rung)
        held["metrics"]["dice"]["mean"] += 1e-6

    changed = tampered(whole, tmp_path / "c.zip", change_json("comparison.json", "", edit), rehash=True)
    assert any(f"ladder, {rung}.dice.mean" in difference for difference in check(changed, catalogue).differences)


BLIND = {f"{name} of the ladder: {NO_IMAGES}" for name in ("otsu", "frangi")}
HIDDEN = {f"{name} of the ladder: {NAMES}" for name in ("shifted", "broken")}


@pytest.mark.parametrize(("withheld", "reasons"), [(False, BLIND), (True, BLIND | HIDDEN)])
def test_the_ladder_is_recomputed_but_for_what_needs_images_or_names(report, catalogue, tmp_path, withheld, reasons):
    wish = Wish(pseudonymised=withheld)
    found = check(write_bundle([report], tmp_path / "b.zip", wish, catalogue, Silent()), catalogue)
    assert found.holds, found.differences
    assert {reason for reason in found.left_out if "of the ladder" in reason} == reasons
    assert found.has_ladder
    assert NO_LADDER not in found.lines()


def test_the_verdict_line_counts_what_was_recomputed_and_what_is_taken_as_stated(report, runs, catalogue, tmp_path):
    found = check(write_bundle([report], tmp_path / "b.zip", Wish(), catalogue, Silent()), catalogue)
    graded = sum(row.values["auc"] is not None for run in runs for row in run.scores("test").rows)
    assert found.left_out["auc: no probabilities in the bundle"] == graded
    taken = sum(found.left_out.values())
    assert found.lines()[-1].startswith(
        f"holds: {found.numbers:,} numbers recomputed, {taken} taken as stated "
        "(auc, ece: no probabilities in the bundle; "
    )
    assert f"; otsu of the ladder, frangi of the ladder: {NO_IMAGES}" in found.lines()[-1]
    nothing = replace(found, left_out={}, differences=("a: stated 1, found 2",))
    assert nothing.lines()[-1] == (
        f"does not hold: 1 difference; {found.numbers:,} numbers recomputed, none taken as stated"
    )


@pytest.fixture(scope="module")
def illustrated(report, catalogue, tmp_path_factory) -> Path:
    """A bundle with ladder and images."""
    to = tmp_path_factory.mktemp("illustrated") / "b.zip"
    return write_bundle([report], to, Wish(images=True), catalogue, Silent())


def test_with_images_the_filters_are_drawn_again_too(illustrated, report, catalogue, tmp_path):
    found = check(illustrated, catalogue)
    assert found.holds, found.differences
    assert not any(NO_IMAGES in reason for reason in found.left_out)
    assert [found.left_out[f"settings of {name}: {SETTINGS}"] for name in ("otsu", "frangi")] == [1, 1]
    bare = check(write_bundle([report], tmp_path / "b.zip", Wish(), catalogue, Silent()), catalogue)
    assert found.numbers > bare.numbers + 50


@pytest.mark.parametrize("rung", ["otsu", "frangi"])
def test_with_images_a_changed_filter_or_image_is_named(illustrated, catalogue, tmp_path, rung):
    def raise_filter(record: dict) -> None:
        held = next(one for one in record["ladder"]["rungs"] if one["name"] == rung)
        held["metrics"]["dice"]["mean"] += 1e-6

    def invert(held: dict[str, bytes]) -> None:
        name = named(held, "reference/images", ".png")
        buffer = io.BytesIO()
        Image.fromarray(255 - np.asarray(Image.open(io.BytesIO(held[name])))).save(buffer, "PNG")
        held[name] = buffer.getvalue()

    for change in (change_json("comparison.json", "", raise_filter), invert):
        found = check(tampered(illustrated, tmp_path / "c.zip", change, rehash=True), catalogue)
        assert any(f"ladder, {rung}.dice.mean" in difference for difference in found.differences)


def test_with_images_a_filter_that_cannot_be_chosen_and_a_missing_image_stop(illustrated, catalogue, tmp_path):
    def other(record: dict) -> None:
        next(one for one in record["ladder"]["rungs"] if one["name"] == "otsu")["definition"] = "Magic."

    def drop(held: dict[str, bytes]) -> None:
        held.pop(named(held, "reference/images", ".png"))

    for change, why in ((change_json("comparison.json", "", other), "no otsu"), (drop, "has no image of")):
        found = check(tampered(illustrated, tmp_path / "c.zip", change, rehash=True), catalogue)
        assert why in found.stopped
        assert not found.holds


def test_filters_of_another_version_are_taken_as_stated_with_that_reason(illustrated, catalogue, tmp_path):
    older = change_json("bundle.json", "", lambda manifest: manifest["versions"].update({"scikit-image": "0.1"}))
    found = check(tampered(illustrated, tmp_path / "c.zip", older, rehash=True), catalogue)
    assert found.holds, found.differences
    assert any(reason.startswith("otsu of the ladder: drawn by scikit-image 0.1") for reason in found.left_out)
