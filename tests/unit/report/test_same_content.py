"""report.html, report.md and comparison.json tell the same: no section, table, sentence or picture is in one alone."""

from __future__ import annotations

import json
import re

import pytest

from tests.browser import check_page
from tests.unit.report.sections import Sections
from vesselbench.compare import compare, with_ladder
from vesselbench.ladder import Ladder, Rung
from vesselbench.ledger import Scoring, enter
from vesselbench.report import render_comparison
from vesselbench.report.page import escape_markdown
from vesselbench.rundir import write_json

CURVE = {"probability": [0.1, 0.9], "vessel": [0.0, 1.0], "count": [9.0, 1.0]}
SECTIONS = {
    "scores": "verdict runs.0.metrics.dice.pooled pairs.0.metrics.dice.interval.low several.ranks.shares "
    "several.friedman.p runs.0.seeds.1.means.dice runs.0.cases runs.0.statuses second_observer.metrics",
    "images": "images.0.values images.0.cases images.0.group",
    "widths": "runs.0.metrics.iou.mean runs.0.metrics.iou.none",
    "calibration": "runs.0.calibration.vessel",
    "ladder": "ladder.rungs.0.definition ladder.noise_floor",
    "costs": "runs.0.costs.train_seconds runs.0.parameters.net runs.0.seeds.0.validations.1.means",
    "gallery": "gallery.images.0.disagreement gallery.images.0.runs.unet.missed_branches gallery.unranked",
    "data": "split.fingerprint split.sizes split.leaks.0 scorings.entries.3.scoring",
    "runs": "runs.0.seeds.0.config.data.root runs.0.seeds.0.versions runs.0.seeds.0.started_from "
    "runs.0.seeds.0.best_step runs.0.seeds.0.finished runs.0.seeds.0.threshold_from",
    "repeat": "commands.0 runs.0.seeds.0.weights_sha256",
    "notes": "notes.0 methods.0",
}
"""Section of the page -> where comparison.json holds what it shows."""


@pytest.fixture
def written(write_predictions, tmp_path, catalogue, monkeypatch):
    """A comparison with every section: two seeds, three models, widths, calibration, a second observer, a leak."""
    monkeypatch.setenv("VESSELBENCH_LEDGER", str(tmp_path / "ledger"))
    entry = {"better": "higher", "pooled": 0.5, "group_mean": 0.6}
    widths = {"better": "higher", "bin": 2, "family": "recall_by_width"}
    summary = {"calibration": CURVE, "metrics": {"dice": entry, "iou": widths}}
    plan = {"primary": "dice", "margin": 0.01, "family": [], "unit": "group"}
    alike = {"summary": summary, "leaks": ["one leak"], "declared": plan}
    runs = [
        write_predictions("unet", 1, **alike, seed=0),
        write_predictions("unet", 2, **alike, seed=1, empty=1),
        write_predictions("sa2va", 20, **alike),
        write_predictions("frangi", 3, **alike),
    ]
    for run in runs:
        run.log_validation({"step": 0, "train_seconds": 0.0, "means": {"dice": 0.1}})
        run.log_validation({"step": 9, "train_seconds": 9.0, "means": {"dice": 0.5}})
        run.observer_file("test").write_bytes((runs[0].evaluation("test") / "scores.jsonl").read_bytes())
        recipe, weights = run.path.parent.name, run.scores("test").weights_sha256
        where = f"{recipe}/{run.path.name}"
        line, _ = enter("ab" * 32, Scoring(recipe, recipe, where, run.record()["seed"], weights, "dice"))
        noted = {"test_set": "ab" * 32, "number": line.number, "sha256": line.sha256, "weights_sha256": weights}
        write_json(run.ledger_file("test"), noted)
    reached = {"shifted": 0.9, "reference": 1.0}
    rungs = [Rung(name, "As said.", {m: {"mean": v} for m in ("dice", "iou")}, {}) for name, v in reached.items()]
    comparison = with_ladder(compare(runs), Ladder(tuple(rungs)))
    return render_comparison(comparison, tmp_path / "out", catalogue).parent


def test_every_section_of_the_page_is_known_here_and_stands_in_the_json(written):
    record = json.loads((written / "comparison.json").read_text())
    assert Sections((written / "report.html").read_text()).ids == list(SECTIONS)
    for section, paths in SECTIONS.items():
        for path in paths.split():
            assert found(record, path) is not None, (section, path)


def test_the_markdown_has_every_heading_of_the_page_in_its_order(written):
    page = Sections((written / "report.html").read_text())
    titles = re.findall(r"^##+ (.*)$", (written / "report.md").read_text(), re.MULTILINE)
    assert len(titles) > 15
    for title, heading in zip(titles, page.headings, strict=True):
        assert title.startswith(escape_markdown(heading))


def test_every_text_and_every_picture_of_the_page_is_in_the_markdown(written):
    page = Sections((written / "report.html").read_text())
    assert len(page.texts) > 300
    assert len(page.pictures) > 12
    assert page.not_in((written / "report.md").read_text()) == []


def test_a_page_of_several_seeds_fits_a_phone(browser, written):
    check_page(browser, written / "report.html")


def test_the_json_holds_the_images_of_the_gallery_in_their_order_with_what_their_captions_count(written):
    record = json.loads((written / "comparison.json").read_text())
    page = Sections((written / "report.html").read_text())
    shown = record["gallery"]["images"]
    headings = [heading for heading in page.headings if heading.startswith("Meyer")]
    assert [one["id"] for one in shown] == headings
    assert [one["disagreement"] for one in shown] == sorted((one["disagreement"] for one in shown), reverse=True)
    assert {one["rank"] for one in shown} == {"best", "median", "worst", None}
    for one in shown:
        for label, held in one["runs"].items():
            (alt,) = [alt for alt in page.pictures if alt.startswith(f"{label} on {one['id']}:")]
            assert f"{held['true_positive']} true positive, {held['false_positive']} false positive" in alt
            assert f"; {held['missed_branches']} missed branch" in alt
            assert f", {held['false_bridges']} false bridge" in alt
    assert sum(held["missed_branches"] for one in shown for held in one["runs"].values()) > 0


def found(record, path):
    """The value at a path of keys and places."""
    for key in path.split("."):
        record = record[int(key)] if isinstance(record, list) else record[key]
    return record
