"""The format labelme: one JSON per image, scaled from the size it states."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesselbench.data.findings import collecting, tallying
from vesselbench.data.formats.labelme import LabelMe
from vesselbench.data.masks import decode
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
    assert [sample.origin for sample in samples] == ["f1.json shapes[1]", "f1.json shapes[0, 2]", "f2.json", "f2.json"]


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
        (shape(SQUARE, shape_type="circle"), "f1.json shapes[1].points: a circle of 4 points, not 2"),
        (shape(SQUARE[:1], shape_type="rectangle"), "f1.json shapes[1].points: a rectangle of 1 points, not 2 or 4"),
        (shape([[5, 5], [5, 5]], shape_type="circle"), "f1.json shapes[1].points: a circle of radius 0"),
        (
            shape([[5, 5], [5, 9]], shape_type="rectangle"),
            "f1.json shapes[1].points[0]: the polygon of 4 points encloses",
        ),
        (shape(SQUARE, shape_type="linestrip"), "f1.json shapes[1].points: a linestrip has no width"),
        (shape(SQUARE, shape_type="mask"), "f1.json shapes[1]: 'mask' is no shape that is read here"),
        (shape([[900, 900], [950, 900], [950, 950]]), "f1.json shapes[1].points: the shape lies outside the image"),
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


def fill(sample: Sample) -> np.ndarray:
    assert sample.mask is not None
    return decode(sample.mask, (100, 100), "x")


def test_a_rectangle_is_given_by_two_corners_or_four(write: Callable[..., Path]) -> None:
    two = shape([[60, 20], [10, 50]], shape_type="rectangle")
    four = shape([[10, 20], [60, 20], [60, 50], [10, 50]], "other", shape_type="rectangle")
    one, other = (fill(sample) for sample in read(write("f1", [two, four], (100, 100))))
    expected = np.zeros((100, 100), dtype=bool)
    expected[20:50, 10:60] = True
    assert np.array_equal(one, expected)
    assert np.array_equal(other, expected)


def test_a_circle_is_given_by_its_centre_and_a_point_on_it(write: Callable[..., Path]) -> None:
    mask = fill(read(write("f1", [shape([[50, 50], [50, 80]], shape_type="circle")], (100, 100)))[0])
    assert abs(mask.sum() - np.pi * 30**2) < 0.02 * np.pi * 30**2
    y, x = np.nonzero(mask)
    assert np.hypot(x + 0.5 - 50, y + 0.5 - 50).max() < 31


def test_a_circle_of_another_size_is_scaled(write: Callable[..., Path]) -> None:
    sample = read(write("f1", [shape([[100, 100], [100, 160]], shape_type="circle")], (200, 200)))[0]
    assert abs(fill(sample).sum() - np.pi * 30**2) < 0.02 * np.pi * 30**2


def test_lines_are_drawn_in_the_width_that_is_named(write: Callable[..., Path]) -> None:
    strip = shape([[10, 50], [50, 50], [50, 90]], shape_type="linestrip")
    folder = write("f1", [strip, shape([[10, 20], [90, 20]], "other", shape_type="line")], (100, 100))
    line, bent = (fill(sample) for sample in read(folder, line_width=6))
    assert line[17:23, 10:90].all()
    assert not line[:16].any()
    assert not line[24:].any()
    assert bent[47:53, 10:50].all()
    assert bent[50:90, 47:53].all()
    assert not bent[60:, :40].any()


def test_points_are_ignored_and_that_is_said_once(write: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    folder = write("f1", [shape(SQUARE), shape([[1, 2]], shape_type="point"), shape([[1, 2]], shape_type="points")])
    with caplog.at_level(logging.INFO), tallying():
        assert [len(sample.mask or ()) for sample in read(folder)] == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "f1 (f1.json shapes[1]): a point is no part of a mask (and 1 more of this kind) [point-ignored]"
    ]


def test_embedded_image_data_are_never_looked_at(write: Callable[..., Path]) -> None:
    folder = write("f1", [])
    document = {"shapes": [shape(SQUARE)], "imageHeight": 800, "imageWidth": 800, "imageData": "no base64 \u2603"}
    (folder / "f1.json").write_text(json.dumps(document))
    assert load_example(read(folder)[0]).mask is not None


def test_while_collecting_each_fault_costs_only_its_shape_or_file(
    write: Callable[..., Path], save_image: SaveImage
) -> None:
    write("f1", [shape(SQUARE), shape([[1, 2]]), shape(SQUARE, label=None)])
    folder = write("f2", [shape(SQUARE)])
    (folder / "f3.json").write_text("{")
    (folder / "f5.json").write_text("{}")
    for stem in ("f3", "f4"):
        save_image(folder / f"{stem}.jpg")
    with collecting() as findings:
        samples = read(folder)
    assert [(sample.id, len(sample.mask or ())) for sample in samples] == [("f1", 1), ("f2", 1)]
    assert [(finding.code, finding.file, finding.index) for finding in findings] == [
        ("image-without-annotation", "f4.jpg", ""),
        ("annotation-without-image", "f5.json", ""),
        ("too-few-points", "f1.json", "shapes[1].points[0]"),
        ("wrong-kind", "f1.json", "shapes[2].label"),
        ("not-json", "f3.json", ""),
    ]
