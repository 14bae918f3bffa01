"""The report folder: whole or absent, self-contained, true to the runs, silent about names when asked."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import resource
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from vesselbench.compare import compare, verdict
from vesselbench.errors import UserError
from vesselbench.report import render_comparison
from vesselbench.report.page import escape_markdown
from vesselbench.rundir import write_bytes

VOID = {"meta", "img", "source", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Open tags, attributes of every tag, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def comparison(write_predictions):
    return compare([write_predictions("sa2va", 2, empty=1), write_predictions("unet", 1)])


def test_the_folder_holds_page_markdown_numbers_and_pictures(comparison, tmp_path, catalogue):
    page = render_comparison(comparison, tmp_path / "out", catalogue)
    assert page == tmp_path / "out" / "report.html"
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "comparison.json",
        "panels",
        "report.html",
        "report.md",
    ]
    linked = re.findall(r"\]\((panels/[^)]+)\)", (page.parent / "report.md").read_text())
    assert sorted(linked) == sorted(f"panels/{path.name}" for path in (page.parent / "panels").iterdir())
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_page_is_one_well_formed_file_that_asks_for_nothing(comparison, tmp_path, catalogue):
    text = render_comparison(comparison, tmp_path / "out", catalogue).read_text()
    page = Page(text)
    assert page.open == []
    assert not re.search(r"https?://|<script\s|<link|@import|url\(", text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in text
    pictures = page.all("img")
    assert len(pictures) >= 3 * 4
    assert len(page.all("svg")) >= 5
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.all("svg"))
    for picture in pictures:
        assert picture["alt"]
        kind, _, content = picture["src"].partition(",")
        assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            image.load()
            if "width" in picture:
                assert (str(image.width), str(image.height)) == (picture["width"], picture["height"])
    assert {"lang": "en"} in page.all("html")
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


def test_the_verdict_comes_first_in_both(comparison, tmp_path, catalogue):
    page = render_comparison(comparison, tmp_path / "out", catalogue)
    sentence = verdict(comparison)
    shown = Page(page.read_text()).text.partition("vesselbench · test set")[2]
    assert shown.index(sentence) < shown.index("Scores")
    assert (page.parent / "report.md").read_text().split("\n")[2] == f"**{escape_markdown(sentence)}**"


def test_the_page_says_cases_split_thresholds_hashes_and_settings(comparison, tmp_path, catalogue):
    text = Page(render_comparison(comparison, tmp_path / "out", catalogue).read_text()).text
    first = comparison.runs[0]
    for word in (
        "empty prediction",
        first.split.fingerprint[:12],
        first.scores.weights_sha256[:12],
        "0.4 (from validation)",
        "train.augment.flip",
        "2.13.0",
        "edge of the field of view",
        first.where,
    ):
        assert word in text


def test_a_name_with_markup_in_it_is_shown_as_text(write_predictions, tmp_path, catalogue):
    comparison = compare([write_predictions("unet", 1)])
    comparison = replace(comparison, runs=(replace(comparison.runs[0], label="<b>x|y"),))
    page = render_comparison(comparison, tmp_path / "out", catalogue)
    assert "<b>x|y" not in page.read_text()
    assert "&lt;b&gt;x|y" in page.read_text()
    assert r"\<b\>x\|y" in (page.parent / "report.md").read_text()


def test_a_folder_that_exists_is_never_written_into(comparison, tmp_path, catalogue):
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="exists already"):
        render_comparison(comparison, tmp_path / "out", catalogue)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_a_user_error(comparison, tmp_path, catalogue):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot"):
        render_comparison(comparison, tmp_path / "file" / "out", catalogue)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "file", "runs"]


def test_a_disk_that_fills_up_leaves_nothing_behind(comparison, tmp_path, catalogue):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))  # smaller than the page, larger than a picture
    try:
        with pytest.raises(UserError, match=r"cannot write .*report\.html"):
            render_comparison(comparison, tmp_path / "out", catalogue)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "runs"]


def test_a_prediction_that_was_changed_after_scoring_is_refused(comparison, tmp_path, catalogue):
    run = comparison.runs[1]
    paths = [run.run.prediction_file("test", image) for image in comparison.images]
    others = [path.read_bytes() for path in paths]
    for path, content in zip(paths, [*others[1:], others[0]], strict=True):
        write_bytes(path, content)
    with pytest.raises(UserError, match=r"unet.*is not the mask that was scored"):
        render_comparison(comparison, tmp_path / "out", catalogue)
    assert not (tmp_path / "out").exists()


def test_a_missing_prediction_names_the_command_that_makes_it(comparison, tmp_path, catalogue):
    for image in comparison.images:
        comparison.runs[0].run.prediction_file("test", image).unlink()
    with pytest.raises(UserError) as caught:
        render_comparison(comparison, tmp_path / "out", catalogue)
    assert "does not exist" in caught.value.message
    assert caught.value.hint == f"vesselbench evaluate {comparison.runs[0].run.path} --set test"


def test_data_that_changed_since_the_runs_are_refused(comparison, tmp_path, catalogue):
    images = sorted((tmp_path / "data" / "images").iterdir())
    write_bytes(images[0], images[1].read_bytes())
    with pytest.raises(UserError, match="the data have changed since the runs"):
        render_comparison(comparison, tmp_path / "out", catalogue)


def test_pseudonyms_leave_no_name_anywhere_and_every_number(comparison, tmp_path, catalogue):
    plain = render_comparison(comparison, tmp_path / "plain", catalogue)
    hidden = render_comparison(comparison, tmp_path / "hidden", catalogue, pseudonymised=True)
    again = render_comparison(comparison, tmp_path / "again", catalogue, pseudonymised=True)
    assert "Meyer" in plain.read_text()
    for path in (tmp_path / "hidden").rglob("*"):
        assert "Meyer" not in path.name
        if path.suffix != ".png" and path.is_file():
            assert b"Meyer" not in path.read_bytes()
            assert str(tmp_path / "data").encode() not in path.read_bytes()
    names = [set(re.findall(r"(?:image|group)-[0-9a-f]{8}", page.read_text())) for page in (hidden, again)]
    assert names[0]
    assert names[0].isdisjoint(names[1])
    assert verdict(comparison) in Page(hidden.read_text()).text
    for path in (tmp_path / "plain" / "panels").iterdir():
        if not path.name.startswith("plot"):
            assert (tmp_path / "hidden" / "panels" / path.name).read_bytes() == path.read_bytes()
