"""``vesselbench data check`` as it is typed: a folder or a recipe, what is printed, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from vesselbench.cli import app
from vesselbench.data.checking.target import data_of_folder
from vesselbench.data.findings import found
from vesselbench.errors import UserError
from vesselbench.terminal.results import SHOWN, findings_table


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", "check", *map(str, words)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of LabelMe's kind, sound."""
    root = tmp_path / "data"
    root.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(noise).save(root / f"{number}.png")
        shapes = [{"label": "vessel", "points": [[2, 2], [20, 2], [20, 20]]}]
        (root / f"{number}.json").write_text(json.dumps({"shapes": shapes, "imageHeight": 32, "imageWidth": 32}))
    return root


def spoil(folder: Path) -> None:
    shapes = [{"label": "vessel", "points": [[2, 2], [20, 2], [20, 20]]}, {"label": "vessel", "points": [[5, 5]]}]
    (folder / "1.json").write_text(json.dumps({"shapes": shapes, "imageHeight": 32, "imageWidth": 32}))


def test_a_sound_folder_is_recognised_and_ends_with_0(folder: Path) -> None:
    done = run(folder)
    assert done.exit_code == 0, done.output
    assert "format labelme, since" in done.output
    assert "No fault was found" in done.output
    assert json.loads(run(folder, "--json").stdout) == []


def test_an_error_ends_with_1_and_is_listed_for_machines(folder: Path) -> None:
    spoil(folder)
    done = run(folder, "--json")
    assert done.exit_code == 1
    (finding,) = json.loads(done.stdout)
    assert (finding["code"], finding["severity"], finding["file"]) == ("too-few-points", "error", "1.json")
    assert finding["index"].startswith("shapes[1].points")
    assert finding["cure"]


def test_page_and_mended_copy_are_written(folder: Path, tmp_path: Path) -> None:
    spoil(folder)
    done = run(folder, "--html", tmp_path / "page.html", "--fix", tmp_path / "new")
    assert done.exit_code == 1
    assert "1 changes, 0 left out" in done.output.replace("\n", " ")
    assert (tmp_path / "page.html").is_file()
    assert run(tmp_path / "new").exit_code == 0


def test_images_may_be_absent_when_only_annotations_are_asked_for(folder: Path) -> None:
    (folder / "annotations.json").write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "absent.png", "height": 32, "width": 32}],
                "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 2, 9, 2, 9, 9]]}],
                "categories": [{"id": 1, "name": "vessel"}],
            }
        )
    )
    assert run(folder, "data.format=coco").exit_code == 1
    done = run(folder, "data.format=coco", "--annotations-only")
    assert done.exit_code == 0, done.output
    assert "1 samples; no image was opened" in done.output


def test_a_recipe_is_checked_as_before() -> None:
    done = run("unet", "data.options.images=3", "data.options.size=32", "--json")
    assert done.exit_code == 0, done.output
    assert not [finding for finding in json.loads(done.stdout) if finding["severity"] == "error"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.lr=1"], "'train' says nothing about a folder"),
        (["data.root=/x"], "data.root is given twice"),
        (["data=3"], "data: expected settings"),
        (["data.formt=coco"], "unknown key 'data.formt'"),
    ],
)
def test_settings_that_do_not_belong_to_a_folder_are_refused(folder: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data_of_folder(folder, overrides=overrides)


def test_a_format_that_is_named_is_not_recognised(folder: Path) -> None:
    config, said = data_of_folder(folder, overrides=["data.format=pairs", "data.options.images=a"])
    assert (config.format, config.options, config.root) == ("pairs", {"images": "a"}, folder)
    assert "as given" in said


def test_many_findings_of_one_code_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    many = [found("empty-mask", f"{number}.json", "no pixel is 'vessel'", "fine if meant") for number in range(25)]
    one = found("too-few-points", "x.json", "a polygon of 1 point", "redraw it")
    Console(width=100).print(findings_table([*many, one]))
    text = capsys.readouterr().out
    assert text.index("error: too-few-points (1)") < text.index("warning: empty-mask (25)")
    assert text.count("no pixel is 'vessel'") == SHOWN
    assert "and 15 more" in text
    assert text.count("  cure") == 2
    assert "1 error, 25 warnings" in text


def test_findings_are_printed_whole_before_a_copy_that_cannot_be_written_fails(folder: Path, tmp_path: Path) -> None:
    spoil(folder)
    (tmp_path / "file").touch()
    result = run(folder, "--json", "--fix", tmp_path / "file/new")
    assert "cannot write" in str(result.exception)
    assert [finding["code"] for finding in json.loads(result.stdout)] == ["too-few-points"]


def test_a_file_of_the_users_own_is_refused_before_the_check_and_kept(folder: Path, tmp_path: Path) -> None:
    spoil(folder)
    (tmp_path / "mine.html").write_text("mine")
    result = run(folder, "--json", "--html", tmp_path / "mine.html")
    assert isinstance(result.exception, UserError)
    assert result.stdout == ""
    assert (tmp_path / "mine.html").read_text() == "mine"
