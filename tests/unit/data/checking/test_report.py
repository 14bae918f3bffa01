"""The page of findings: self-contained, escaped, a picture of each faulty mask."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.config import DataConfig
from vesselbench.data.checking.check import check_data
from vesselbench.data.checking.pictures import FAULTY, MASK, TWICE, Pictures, value_at
from vesselbench.data.checking.report import PICTURED, refuse_foreign, write_report
from vesselbench.data.findings import found
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue

SaveImage = Callable[..., Path]
SQUARE = [[20, 20], [80, 20], [80, 80], [20, 80]]


@pytest.fixture
def config(tmp_path: Path, save_image: SaveImage) -> DataConfig:
    """Three LabelMe images: one with a click beside a square, one with two squares that overlap, one sound."""
    root = tmp_path / "data"
    shapes = {
        "a": [SQUARE, [[90, 90]]],
        "b": [SQUARE, [[70, 70], [95, 70], [95, 95], [70, 95]]],
        "c": [SQUARE],
    }
    for name, outlines in shapes.items():
        save_image(root / f"{name}.png", (100, 100))
        records = [{"label": "<b>vein</b>", "points": points} for points in outlines]
        (root / f"{name}.json").write_text(json.dumps({"shapes": records, "imageHeight": 100, "imageWidth": 100}))
    return DataConfig(format="labelme", root=root)


def near(pixel: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() < 40)


def test_the_page_needs_nothing_else_and_escapes_names(
    config: DataConfig, tmp_path: Path, catalogue: Catalogue
) -> None:
    write_report(check_data(config, catalogue), tmp_path / "page.html", "<i>data</i>")
    page = (tmp_path / "page.html").read_text()
    assert "<i>data</i>" not in page
    assert "&lt;i&gt;data" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "too-few-points" in page
    assert "overlapping-polygons" in page
    assert page.count("<img ") == 2
    assert "viewport" in page
    assert "prefers-color-scheme: dark" in page


def test_a_picture_shows_the_mask_and_the_faulty_point(config: DataConfig, catalogue: Catalogue) -> None:
    check = check_data(config, catalogue)
    click, overlap = check.findings
    pictures = Pictures.of(check.root, check.samples)
    drawn = {
        finding.code: np.asarray(Image.open(io.BytesIO(pictures.draw(finding) or b""))) for finding in (click, overlap)
    }
    first = drawn["too-few-points"]
    assert near(first[50, 50], MASK)
    around = first[82:98, 82:98].astype(int)
    assert (np.abs(around - FAULTY).max(axis=2) < 90).any()
    assert near(drawn["overlapping-polygons"][75, 75], TWICE)
    assert near(drawn["overlapping-polygons"][50, 50], MASK)


def test_a_finding_without_a_sample_has_no_picture(config: DataConfig, catalogue: Catalogue) -> None:
    check = check_data(config, catalogue)
    assert Pictures.of(check.root, check.samples).draw(found("no-samples", "a.json", "nothing", "add some")) is None


def test_many_findings_are_all_listed_and_some_pictured(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    root = tmp_path / "data"
    many = 3 * PICTURED["warning"]
    for number in range(many):
        save_image(root / f"{number:03d}.png", (20, 20))
        shapes = [{"label": "v", "points": [[2, 2], [30, 2], [30, 30]]}]
        document = {"shapes": shapes, "imageHeight": 40, "imageWidth": 40}
        (root / f"{number:03d}.json").write_text(json.dumps(document))
    check = check_data(DataConfig(format="labelme", root=root), catalogue)
    write_report(check, tmp_path / "page.html", "many")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img ") == PICTURED["warning"]
    assert all(f"{number:03d}.json" in page for number in range(many))


def test_a_page_that_cannot_be_written_is_the_users_mistake(
    config: DataConfig, tmp_path: Path, catalogue: Catalogue
) -> None:
    check = check_data(config, catalogue)
    with pytest.raises(UserError, match="is a folder"):
        write_report(check, tmp_path, "x")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_report(check, tmp_path / "file" / "page.html", "x")


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("a[1].b", 7),
        ("a[1]", {"b": 7}),
        ("", {"a": [0, {"b": 7}]}),
        ("a[9]", None),
        ("a[0, 1]", None),
        ("a[1].c", None),
    ],
)
def test_a_value_is_found_by_its_index(index: str, expected: object) -> None:
    assert value_at({"a": [0, {"b": 7}]}, index) == expected


@pytest.mark.parametrize(("name", "content"), [("thesis.html", "<!DOCTYPE html><p>mine"), ("notes.txt", None)])
def test_a_file_that_is_no_page_of_findings_is_never_overwritten(
    tmp_path: Path, name: str, content: str | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"no page of findings|not called \.html"):
        refuse_foreign(path)


def test_a_page_of_findings_may_be_written_anew(config: DataConfig, catalogue: Catalogue, tmp_path: Path) -> None:
    check = check_data(config, catalogue)
    write_report(check, tmp_path / "page.html", "once")
    write_report(check, tmp_path / "page.html", "twice")
    assert "<h1>twice</h1>" in (tmp_path / "page.html").read_text()
