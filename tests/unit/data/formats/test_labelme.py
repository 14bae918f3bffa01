"""The format labelme: one JSON per image, scaled from the size it states."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesselbench.data.formats.labelme import LabelMe
from vesselbench.data.read import load_example
from vesselbench.errors import UserError
from vesselbench.types import Sample

SaveImage = Callable[..., Path]
SQUARE = [[100, 200], [500, 200], [500, 700], [100, 700]]


def shape(points: Any, label: Any = "vessel", **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": "polygon", **more}


@pytest.fixture
def write(tmp_path: Path, save_image: SaveImage) -> Callable[..., Path]:
    def write_one(stem: str, shapes: Any, size: tuple[int, int] | None = (800, 800)) -> Path:
        save_image(tmp_path / f"{stem}.jpg", (512, 512))
        stated = {"imageHeight": size[0], "imageWidth": size[1]} if size else {}
        (tmp_path / f"{stem}.json").write_text(json.dumps({"shapes": shapes, "imagePath": "x.jpg", **stated}))
        return tmp_path

    return write_one


def read(folder: Path, **options: Any) -> list[Sample]:
    return list(LabelMe().read(folder, options))


def test_coordinates_stated_at_800_land_on_the_512_image(write: Callable[..., Path]) -> None:
    example = load_example(read(write("f1", [shape(SQUARE)]))[0])
    expected = np.zeros((512, 512), dtype=bool)
    expected[128:448, 64:320] = True
    assert np.array_equal(example.mask, expected)


def test_a_file_that_states_no_size_is_taken_at_its_word(write: Callable[..., Path]) -> None:
    example = load_example(read(write("f1", [shape([[0, 0], [9, 0], [9, 9], [0, 9]])], size=None))[0])
    assert example.mask is not None
    assert example.mask.sum() == 81


def test_polygons_of_one_label_are_one_sample_and_absent_labels_negatives(write: Callable[..., Path]) -> None:
    write("f1", [shape(SQUARE), shape(SQUARE, "stent"), shape(SQUARE)])
    samples = read(write("f2", []), prompts={"stent": "metal stent"})
    assert [sample.id for sample in samples] == ["f1:stent", "f1:vessel", "f2:stent", "f2:vessel"]
    assert [len(sample.mask or ()) for sample in samples] == [1, 2, 0, 0]
    assert samples[0].prompt == "metal stent"
    assert samples[0].origin == "f1.json"


def test_labels_can_be_chosen(write: Callable[..., Path]) -> None:
    folder = write("f1", [shape(SQUARE), shape(SQUARE, "stent")])
    assert [sample.id for sample in read(folder, labels=["vessel"])] == ["f1"]
    with pytest.raises(UserError, match="no label 'vesel'"):
        read(folder, labels=["vesel"])


def test_old_files_without_a_shape_type_hold_polygons(write: Callable[..., Path]) -> None:
    assert len(read(write("f1", [{"label": "vessel", "points": SQUARE}]))) == 1


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (shape([[1, 2]]), "f1.json shapes[1].points[0]: a polygon of 1 point,"),
        (shape([]), "f1.json shapes[1].points[0]: a polygon of 0 points"),
        (shape([[1, 2], [3, 4, 5], [6, 7]]), "f1.json shapes[1].points[1]: 3 coordinates"),
        (shape([[1, 2], [3, float("nan")], [6, 7]]), "f1.json shapes[1].points[0]: a coordinate is not finite"),
        (shape([[1, 2], [3, None], [6, 7]]), "f1.json shapes[1].points[1][1]: expected a number"),
        (shape(SQUARE, shape_type="circle"), "f1.json shapes[1]: a 'circle', only polygons are read"),
        (shape(SQUARE, label=None), "f1.json shapes[1].label: expected a text"),
        ({"label": "vessel"}, "f1.json shapes[1]: no 'points'"),
        (7, "f1.json shapes[1]: expected a mapping"),
    ],
)
def test_malformed_shapes_are_refused_with_file_and_index(write: Callable[..., Path], bad: Any, words: str) -> None:
    folder = write("f1", [shape(SQUARE), bad])
    with pytest.raises(UserError) as caught:
        read(folder)
    assert words in caught.value.message


def test_half_a_stated_size_is_refused(write: Callable[..., Path]) -> None:
    folder = write("f1", [shape(SQUARE)])
    (folder / "f1.json").write_text(json.dumps({"shapes": [shape(SQUARE)], "imageHeight": 800}))
    with pytest.raises(UserError, match=r"f1\.json: no 'imageWidth'"):
        read(folder)


def test_images_without_json_and_json_without_image_are_refused(
    write: Callable[..., Path], save_image: SaveImage
) -> None:
    folder = write("f1", [shape(SQUARE)])
    save_image(folder / "f2.jpg")
    with pytest.raises(UserError, match=r"1 of 2 images have no JSON in .*: f2"):
        read(folder)
    (folder / "f2.jpg").rename(folder / "f3.txt")
    (folder / "f4.json").write_text(json.dumps({"shapes": []}))
    with pytest.raises(UserError, match=r"1 of 2 JSON files have no image in .*: f4"):
        read(folder)


def test_a_folder_without_shapes_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="no shape in any of the 1 files"):
        read(write("f1", []))


def test_spellings_of_one_label_are_one_target_and_that_is_said(
    write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    samples = read(write("f1", [shape(SQUARE, "Vessel"), shape(SQUARE, "vessel. ")]))
    assert [(sample.id, sample.target, len(sample.mask or ())) for sample in samples] == [("f1", "Vessel", 2)]
    assert "are one target: their prompts are the same phrase 'vessel'" in caplog.text
