"""COCO as CVAT, Roboflow and Label Studio write it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vesselbench.data.findings import Place, collecting
from vesselbench.data.formats.coco import Coco
from vesselbench.data.formats.coco_files import ImageFolders
from vesselbench.errors import UserError
from vesselbench.types import Rle, Sample

SaveImage = Callable[..., Path]
SQUARE = [2.0, 2.0, 9.0, 2.0, 9.0, 9.0, 2.0, 9.0]
IMAGE = {"id": 1, "file_name": "a.png", "height": 12, "width": 16}
ANNOTATION = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE], "iscrowd": 0}
CATEGORY = {"id": 1, "name": "vessel"}


def record(**changes: Any) -> dict[str, Any]:
    whole = {"images": [IMAGE], "annotations": [ANNOTATION], "categories": [CATEGORY]}
    return copy.deepcopy({**whole, **changes})


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def read(root: Path, document: Any = None, **options: Any) -> list[Sample]:
    if document is not None:
        write(root / "annotations.json", document)
    return list(Coco().read(root, options))


@pytest.mark.parametrize("ids", [(0, 1), (1, 2), ("0", "1"), (0, "1"), (5.0, "6"), ("x-7f", "x-80")])
def test_ids_count_from_anywhere_as_numbers_or_their_digits(tmp_path: Path, ids: tuple[Any, Any]) -> None:
    images = [{**IMAGE, "id": number, "file_name": f"{n}.png"} for n, number in enumerate(ids)]
    turned = [str(int(n)) if not isinstance(n, str) else int(n) if n.isdigit() else n for n in ids]
    annotations = [{**ANNOTATION, "image_id": number, "category_id": "0"} for number in turned]
    samples = read(tmp_path, record(images=images, annotations=annotations, categories=[{"id": 0, "name": "vessel"}]))
    assert [len(sample.mask or ()) for sample in samples] == [1, 1]


def test_digits_with_leading_zeros_stay_apart(tmp_path: Path) -> None:
    images = [{**IMAGE, "id": "007"}, {**IMAGE, "id": 7, "file_name": "b.png"}]
    samples = read(tmp_path, record(images=images, annotations=[{**ANNOTATION, "image_id": "007"}]))
    assert [len(sample.mask or ()) for sample in samples] == [1, 0]


@pytest.mark.parametrize("place", ["a.png", "images/a.png", "images/default/a.png"])
def test_cvat_keeps_annotations_and_images_in_sibling_folders(
    tmp_path: Path, save_image: SaveImage, place: str
) -> None:
    image = save_image(tmp_path / place)
    write(tmp_path / "annotations/instances_default.json", record())
    sample = read(tmp_path, annotations="annotations/instances_default.json")[0]
    assert (sample.image, sample.id) == (image, "a")
    assert sample.origin == "annotations/instances_default.json annotations[0]"


def test_roboflow_keeps_a_file_beside_the_images_of_each_set(tmp_path: Path, save_image: SaveImage) -> None:
    dummy = {"id": 0, "name": "vessel", "supercategory": "none"}
    for name in ("train", "valid"):
        save_image(tmp_path / name / "a.png")
        write(tmp_path / name / "_annotations.coco.json", record(categories=[dummy, CATEGORY]))
    samples = read(tmp_path, annotations="*/_annotations.coco.json")
    assert [sample.id for sample in samples] == ["train/a", "valid/a"]
    assert [sample.image for sample in samples] == [tmp_path / "train/a.png", tmp_path / "valid/a.png"]
    assert {sample.target for sample in samples} == {"vessel"}
    assert samples[1].origin == "valid/_annotations.coco.json annotations[0]"


def test_files_of_one_folder_are_told_apart_by_their_names(tmp_path: Path) -> None:
    for name in ("train", "val"):
        write(tmp_path / f"{name}.json", record())
    assert [sample.id for sample in read(tmp_path, annotations=["train.json", "val.json"])] == ["train/a", "val/a"]


def test_an_image_is_a_negative_only_of_categories_that_its_file_lists(tmp_path: Path) -> None:
    write(tmp_path / "one.json", record())
    other = record(categories=[{"id": 1, "name": "stent"}], images=[{**IMAGE, "file_name": "b.png"}])
    write(tmp_path / "two.json", other)
    samples = read(tmp_path, annotations=["one.json", "two.json"])
    assert [sample.id for sample in samples] == ["one/a:vessel", "two/b:stent"]


def test_a_pattern_that_matches_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\*/_annotations.coco.json: no file in"):
        read(tmp_path, annotations="*/_annotations.coco.json")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("p1/a.png", "p1/a.png"),
        ("p1\\a.png", "p1/a.png"),
        ("p%201/a%C3%A4.png", "p 1/aä.png"),
        ("100%.png", "100%.png"),
        ("50%ff.png", "50%ff.png"),
        ("/data/upload/3/a.png", "a.png"),
        ("/data/upload/3/a.png", "3/a.png"),
        ("/data/local-files/?d=p1/a.png", "p1/a.png"),
        ("https://host.example/data/p%201/a.png", "p 1/a.png"),
        ("C:\\Users\\me\\p1\\a.png", "p1/a.png"),
    ],
)
def test_file_names_are_found_as_exporters_write_them(
    tmp_path: Path, save_image: SaveImage, name: str, file: str
) -> None:
    image = save_image(tmp_path / "images" / file)
    sample = read(tmp_path, record(images=[{**IMAGE, "file_name": name}]))[0]
    assert sample.image == image
    assert sample.id == file.removesuffix(".png")


def test_a_relative_name_keeps_its_folders(tmp_path: Path, save_image: SaveImage) -> None:
    save_image(tmp_path / "a.png")  # of another patient
    assert read(tmp_path, record(images=[{**IMAGE, "file_name": "p1/a.png"}]))[0].image == tmp_path / "p1/a.png"


def test_the_name_as_it_stands_comes_before_its_escapes(tmp_path: Path, save_image: SaveImage) -> None:
    for name in ("a b.png", "a%20b.png"):
        save_image(tmp_path / name)
    sample = read(tmp_path, record(images=[{**IMAGE, "file_name": "a%20b.png"}]))[0]
    assert sample.image == tmp_path / "a%20b.png"


def test_an_image_in_two_customary_folders_is_refused_until_one_is_named(tmp_path: Path, save_image: SaveImage) -> None:
    for name in ("a.png", "images/a.png"):
        save_image(tmp_path / name)
    with pytest.raises(UserError, match=r"images\[0\]: 'a\.png' may be .*a\.png or .*images/a\.png") as caught:
        read(tmp_path, record())
    assert "data.options.images" in caught.value.hint
    assert read(tmp_path, record(), images="images")[0].image == tmp_path / "images/a.png"


def test_two_names_of_one_file_are_found(tmp_path: Path, save_image: SaveImage) -> None:
    save_image(tmp_path / "p 1/a.png")
    names = [{**IMAGE, "file_name": "p 1/a.png"}, {**IMAGE, "id": 2, "file_name": "p%201\\a.png"}]
    with pytest.raises(UserError, match=r"images\[1\]: 'p 1/a.png' stands in annotations.json images\[0\] too"):
        read(tmp_path, record(images=names))


def test_a_name_that_resolves_nowhere_is_placed_where_it_would_lie(tmp_path: Path) -> None:
    folders = ImageFolders.beside(tmp_path / "x/annotations.json", tmp_path, None)
    assert folders.locate("p\\a%20.png", Place("f")) == ("p/a%20.png", tmp_path / "x/p/a%20.png")


@pytest.mark.parametrize("iscrowd", [0, 1])
def test_run_lengths_are_read_whatever_iscrowd_says(tmp_path: Path, iscrowd: int) -> None:
    rle = {"size": [12, 16], "counts": [100, 92]}
    with collecting() as findings:
        sample = read(tmp_path, record(annotations=[{**ANNOTATION, "segmentation": rle, "iscrowd": iscrowd}]))[0]
    assert sample.mask == (Rle((100, 92), (12, 16)),)
    assert findings == []


def test_polygons_called_a_crowd_are_read_and_found(tmp_path: Path) -> None:
    with collecting() as findings:
        sample = read(tmp_path, record(annotations=[{**ANNOTATION, "iscrowd": 1}]))[0]
    assert len(sample.mask or ()) == 1
    assert [(finding.code, finding.severity, finding.index) for finding in findings] == [
        ("crowd-polygons", "warning", "annotations[0]")
    ]


def test_keys_that_are_optional_may_be_absent(tmp_path: Path) -> None:
    bare = {"image_id": 1, "category_id": 1, "segmentation": [SQUARE]}
    assert len(read(tmp_path, record(annotations=[bare]))[0].mask or ()) == 1


def test_run_lengths_of_another_size_than_the_record_are_found(tmp_path: Path) -> None:
    with collecting() as findings:
        read(tmp_path, record(annotations=[{**ANNOTATION, "segmentation": {"size": [6, 8], "counts": [40, 8]}}]))
    assert [(finding.code, finding.sample) for finding in findings] == [("rle-size", "a")]


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text(json.dumps(record()), encoding="utf-8-sig")
    assert len(read(tmp_path)) == 1


def test_while_collecting_a_broken_file_does_not_cost_the_others(tmp_path: Path) -> None:
    write(tmp_path / "a.json", record())
    (tmp_path / "b.json").write_text("{")
    with collecting() as findings:
        samples = read(tmp_path, annotations=["a.json", "b.json", "c.json"])
    assert [sample.id for sample in samples] == ["a/a"]
    assert [(finding.code, finding.file) for finding in findings] == [
        ("not-json", "b.json"),
        ("missing-file", "c.json"),
    ]


def test_findings_of_several_files_carry_the_ids_of_their_samples(tmp_path: Path) -> None:
    broken = [ANNOTATION, {**ANNOTATION, "id": 2, "segmentation": [[5, 5]]}]
    write(tmp_path / "train/a.json", record(annotations=broken))
    write(tmp_path / "valid/a.json", record())
    with collecting() as findings:
        samples = read(tmp_path, annotations="*/a.json")
    assert [sample.id for sample in samples] == ["train/a", "valid/a"]
    assert [finding.sample for finding in findings] == ["train/a"]


@pytest.mark.parametrize("linked", [True, False])
def test_an_annotation_file_outside_the_data_set_is_refused(tmp_path: Path, linked: bool) -> None:
    write(tmp_path / "other/a.json", record())
    root = tmp_path / "data"
    root.mkdir()
    if linked:
        (root / "a.json").symlink_to(tmp_path / "other/a.json")
    with pytest.raises(UserError, match="lies outside"):
        read(root, annotations="a.json" if linked else "../other/a.json")
