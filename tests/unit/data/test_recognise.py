"""The format of a folder, told from what lies in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vesselbench.config import DataConfig
from vesselbench.data.read import read_samples
from vesselbench.data.recognise import recognise
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue, load_catalogue

SaveImage = Callable[..., Path]
SHARED = Path(__file__).parents[3] / "../shared/data"
COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "height": 12, "width": 16}],
    "annotations": [{"image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}],
    "categories": [{"id": 1, "name": "vessel"}],
}
SA2VA = [{"image": "a.png", "mask": [[1, 1, 9, 1, 9, 9]], "text": ["vessel"]}]
LABELME = {"shapes": [{"label": "vessel", "points": [[1, 1], [9, 1], [9, 9]]}], "imageHeight": 12, "imageWidth": 16}


@pytest.fixture(scope="module")
def formats() -> Catalogue:
    return load_catalogue("")


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("files", "images", "expected"),
    [
        ({"annotations.json": COCO}, ["a.png"], ("coco", 1)),
        ({"annotations/instances_default.json": COCO}, ["images/a.png"], ("coco", 1)),
        ({"annotations/instances_train.json": COCO}, ["images/train/a.png"], ("coco", 1)),
        (
            {"train/_annotations.coco.json": COCO, "valid/_annotations.coco.json": COCO},
            ["train/a.png", "valid/a.png"],
            ("coco", 2),
        ),
        ({"annotations.json": SA2VA}, ["images/a.png"], ("sa2va", 1)),
        ({"train.json": SA2VA}, ["a.png"], ("sa2va", 1)),
        ({"a.json": LABELME}, ["a.png"], ("labelme", 1)),
        ({"labels/a.json": LABELME}, ["images/a.png"], ("labelme", 1)),
        ({"notes.json": {"anything": 1}}, ["images/a.png", "masks/a.png"], ("pairs", 1)),
        ({}, ["imgs/a.png", "1st_manual/a_manual1.gif"], ("pairs", 1)),
        ({"syntax/val/annotations/val.json": COCO}, ["syntax/val/images/a.png"], ("arcade", 1)),
    ],
)
def test_a_folder_is_recognised_and_read_with_the_options_that_were_found(
    tmp_path: Path, save_image: SaveImage, formats: Catalogue, files: dict, images: list[str], expected: tuple[str, int]
) -> None:
    for name, document in files.items():
        write(tmp_path / name, document)
    for name in images:
        save_image(tmp_path / name)
    found = recognise(tmp_path)
    samples = read_samples(DataConfig(format=found.format, root=tmp_path, options=found.options), formats)
    assert (found.format, len(samples)) == expected
    assert found.reason


def test_a_large_labelme_file_is_told_by_its_ends(tmp_path: Path, save_image: SaveImage) -> None:
    document = {"version": "5", "imageData": "A" * 500_000, **LABELME}
    write(tmp_path / "a.json", document)
    save_image(tmp_path / "a.png")
    assert recognise(tmp_path).format == "labelme"


def test_several_candidates_are_all_named(tmp_path: Path) -> None:
    write(tmp_path / "annotations.json", COCO)
    write(tmp_path / "train.json", SA2VA)
    with pytest.raises(UserError, match=r"several formats: coco: annotations\.json .*; sa2va: train\.json") as caught:
        recognise(tmp_path)
    assert "data.format=coco" in caught.value.hint


def test_what_was_seen_is_said_when_nothing_fits(tmp_path: Path, save_image: SaveImage) -> None:
    with pytest.raises(UserError, match="holds neither images nor annotations"):
        recognise(tmp_path)
    save_image(tmp_path / "somewhere" / "a.png")
    write(tmp_path / "notes.json", [1])
    (tmp_path / "broken.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="holds 1 images in 1 folders, 2 JSON files") as caught:
        recognise(tmp_path)
    assert "data.format" in caught.value.hint
    with pytest.raises(UserError, match="is not a folder"):
        recognise(tmp_path / "nowhere")


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize(
    ("folder", "expected"),
    [("CHASE_DB1", "pairs"), ("ARCADE-syntax-panels", "pairs"), ("ARCADE-stenosis-annotations", "coco")],
)
def test_real_data_sets_are_recognised(folder: str, expected: str) -> None:
    assert recognise(SHARED / folder).format == expected


@pytest.mark.parametrize(
    ("images", "options"),
    [
        (["images/a.png", "masks/a.png", "fov/a.png"], {"images": "images", "masks": "masks", "fov": "fov"}),
        (
            ["images/01L.jpg", "masks/01L_1stHO.png", "masks_observer2/01L_2ndHO.png", "fov/01L.gif"],
            {
                "images": "images/{stem}.jpg",
                "masks": "masks/{stem}_1stHO.png",
                "fov": "fov",
                "observer2": "masks_observer2/{stem}_2ndHO.png",
            },
        ),
        (
            ["images/a.png", "1st_manual/a.png", "mask/a.png"],
            {"images": "images", "masks": "1st_manual", "fov": "mask"},
        ),
        (["images/a.png", "mask/a.png", "fov/b.png"], {"images": "images", "masks": "mask"}),
    ],
)
def test_fields_of_view_and_second_observers_beside_the_masks_are_recognised(
    tmp_path: Path, save_image: SaveImage, images: list[str], options: dict[str, str]
) -> None:
    for name in images:
        save_image(tmp_path / name)
    found = recognise(tmp_path)
    assert (found.format, found.options) == ("pairs", options)
    assert all(f"data.options.{option}" in found.reason for option in options.keys() - {"images", "masks"})
