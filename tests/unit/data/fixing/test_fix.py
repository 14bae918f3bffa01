"""A mended copy: what the rules say and no more, the original untouched."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesselbench.config import DataConfig
from vesselbench.data.checking.check import check_data
from vesselbench.data.fixing.fix import Fixed, fix_data
from vesselbench.data.fixing.rules import MENDED
from vesselbench.data.masks import decode
from vesselbench.data.read import load_example, read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Polygons

SaveImage = Callable[..., Path]
SQUARE = [4, 4, 24, 4, 24, 24, 4, 24]
SMALL = [26, 26, 30, 26, 30, 30]


def hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def fix(config: DataConfig, catalogue: Catalogue, folder: Path) -> Fixed:
    """The mended copy; the original's bytes are the same, and no code that a rule mends is left."""
    assert config.root is not None
    before = hashes(config.root)
    fixed = fix_data(config, check_data(config, catalogue), catalogue, folder)
    assert hashes(config.root) == before
    left = check_data(config.model_copy(update={"root": folder}), catalogue)
    assert not left.failed
    assert {finding.code for finding in left.findings}.isdisjoint(MENDED)
    return fixed


def coco(root: Path, save_image: SaveImage, annotations: list[dict[str, Any]], count: int = 4) -> DataConfig:
    root.mkdir()
    for number in range(count):
        save_image(root / f"{number}.png", (32, 32), number)
    record = {
        "info": {"year": 2020},
        "images": [{"id": n, "file_name": f"{n}.png", "height": 32, "width": 32} for n in range(count)],
        "annotations": [{"id": n, "category_id": 1, "iscrowd": 0, **one} for n, one in enumerate(annotations)],
        "categories": [{"id": 1, "name": "vessel"}],
    }
    (root / "annotations.json").write_text(json.dumps(record))
    return DataConfig(format="coco", root=root)


def test_faults_that_a_rule_mends_are_mended_and_listed(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    annotations = [
        {"image_id": 0, "segmentation": [SQUARE, [5, 5]]},
        {"image_id": 1, "segmentation": [[4, 4, 24, 4, math.nan, 9, 24, 24, 4, 24]]},
        {"image_id": 1, "segmentation": [[4, 4, 24, 4, 24, 24, 4, 24]], "id": 0},
        {"image_id": 2, "segmentation": [[4, 4, 44, 4, 44, 24, 4, 24]], "iscrowd": 1},
        {"image_id": 3, "segmentation": [[1, 1, 2, 2, 3, 3]]},
        {"image_id": 3, "segmentation": [SQUARE]},
    ]
    fixed = fix(coco(tmp_path / "data", save_image, annotations), catalogue, tmp_path / "new")
    assert [(change.code, change.index) for change in fixed.changes] == [
        ("too-few-points", "annotations[0].segmentation[1]"),
        ("not-finite", "annotations[1].segmentation[0]"),
        ("duplicate-polygon", "annotations[2].segmentation[0]"),
        ("partly-outside", "annotations[3].segmentation[0]"),
        ("zero-area", "annotations[4].segmentation[0]"),
        ("duplicate-annotation-id", "annotations[2].id"),
        ("crowd-polygons", "annotations[3].iscrowd"),
    ]
    assert fixed.left_out == {}
    record = json.loads((tmp_path / "new/annotations.json").read_text())
    assert record["info"] == {"year": 2020}
    assert [len(one["segmentation"]) for one in record["annotations"]] == [1, 1, 1, 1]
    written = json.loads((tmp_path / "new.fix.json").read_text())
    assert written["changes"][0] == {
        "code": "too-few-points",
        "file": "annotations.json",
        "index": "annotations[0].segmentation[1]",
        "before": [5.0, 5.0],
        "after": None,
    }
    assert written["changes"][1]["before"][4] == "nan"
    assert "`[5.0, 5.0]` became nothing (dropped)" in (tmp_path / "new.fix.md").read_text()


def test_what_no_rule_mends_is_left_out_with_its_image(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    annotations = [
        {"image_id": 0, "segmentation": [SQUARE]},
        {"image_id": 1, "segmentation": {"size": [32, 32], "counts": [4, 5]}},
        {"image_id": 1, "segmentation": [SQUARE]},
        {"image_id": 2, "segmentation": [[1, 2, 3, 4, 5]]},
        {"image_id": 3, "segmentation": [SQUARE]},
    ]
    config = coco(tmp_path / "data", save_image, annotations)
    path = tmp_path / "data/3.png"
    path.write_bytes(path.read_bytes()[:200])
    fixed = fix(config, catalogue, tmp_path / "new")
    assert {image: reason.split(":")[0] for image, reason in fixed.left_out.items()} == {
        "1.png": "rle-short",
        "2.png": "odd-coordinates",
        "3.png": "truncated-image",
    }
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["0.png", "annotations.json"]


def test_an_image_that_would_pass_for_a_negative_is_left_out(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    annotations = [{"image_id": 0, "segmentation": [[5, 5]]}, {"image_id": 1, "segmentation": [SQUARE]}]
    fixed = fix(coco(tmp_path / "data", save_image, annotations), catalogue, tmp_path / "new")
    assert fixed.left_out == {"0.png": "no outline of '1' is left: it would pass for a negative"}
    assert fixed.images == 3  # images 2 and 3 were annotated as negatives


def test_stated_sizes_are_scaled_and_the_masks_stay_the_same(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    rle = {"size": [64, 64], "counts": [1000, 500, 2596]}
    annotations = [{"image_id": 0, "segmentation": [SQUARE], "bbox": [4, 4, 20, 20], "area": 400}]
    annotations += [{"image_id": 1, "segmentation": rle}, {"image_id": 2, "segmentation": [SMALL]}]
    config = coco(tmp_path / "data", save_image, annotations)
    file = tmp_path / "data/annotations.json"
    record = json.loads(file.read_text())
    for image in record["images"]:
        image.update(height=64, width=64)
    file.write_text(json.dumps(record))
    before = {sample.id: load_example(sample).mask for sample in read_samples(config, catalogue)}
    fixed = fix(config, catalogue, tmp_path / "new")
    assert Counter(change.code for change in fixed.changes) == {"size-differs": 4}
    after = read_samples(config.model_copy(update={"root": tmp_path / "new"}), catalogue)
    for sample in after:
        assert (load_example(sample).mask == before[sample.id]).all()
    first = json.loads((tmp_path / "new/annotations.json").read_text())["annotations"][0]
    assert (first["bbox"], first["area"]) == ([2.0, 2.0, 10.0, 10.0], 100.0)


def labelme(root: Path, save_image: SaveImage, stated: int, shapes: list[list[list[float]]]) -> DataConfig:
    root.mkdir()
    save_image(root / "a.png", (32, 32))
    records = [{"label": "vessel", "points": points, "shape_type": "polygon"} for points in shapes]
    document = {"shapes": records, "imageHeight": stated, "imageWidth": stated, "imageData": "AAAA"}
    (root / "a.json").write_text(json.dumps(document))
    return DataConfig(format="labelme", root=root)


def test_labelme_points_are_scaled_to_the_image(tmp_path: Path, save_image: SaveImage, catalogue: Catalogue) -> None:
    points = [[10.0, 10.0], [50.0, 10.0], [50.0, 50.0]]
    config = labelme(tmp_path / "data", save_image, 64, [points, [[3.0, 3.0]]])
    fixed = fix(config, catalogue, tmp_path / "new")
    assert [(change.code, change.index) for change in fixed.changes] == [
        ("too-few-points", "shapes[1].points"),
        ("size-differs", "imageHeight, imageWidth"),
    ]
    document = json.loads((tmp_path / "new/a.json").read_text())
    assert [shape["points"] for shape in document["shapes"]] == [[[5.0, 5.0], [25.0, 5.0], [25.0, 25.0]]]
    assert (document["imageHeight"], document["imageWidth"], document["imageData"]) == (32, 32, None)


def test_both_forms_of_sa2va_keep_their_form(tmp_path: Path, save_image: SaveImage, catalogue: Catalogue) -> None:
    root = tmp_path / "data"
    for number in range(2):
        save_image(root / "images" / f"{number}.png", (32, 32), number)
    records = [
        {"image": "0.png", "mask": [SQUARE, [7, 7], SQUARE], "text": ["vessel"] * 3},
        {"image": "1.png", "mask": [[SQUARE, [7, 7]]], "text": ["vessel"]},
    ]
    (root / "annotations.json").write_text(json.dumps(records))
    fixed = fix(DataConfig(format="sa2va", root=root), catalogue, tmp_path / "new")
    assert [(change.code, change.index) for change in fixed.changes] == [
        ("too-few-points", "[0].mask[1][0]"),
        ("duplicate-polygon", "[0].mask[2][0]"),
        ("too-few-points", "[1].mask[0][1]"),
    ]
    square = [float(number) for number in SQUARE]
    assert json.loads((tmp_path / "new/annotations.json").read_text()) == [
        {"image": "0.png", "mask": [square], "text": ["vessel"]},
        {"image": "1.png", "mask": [[square]], "text": ["vessel"]},
    ]


def test_a_broken_mask_image_is_left_out(paired_folder: Path, tmp_path: Path, catalogue: Catalogue) -> None:
    (paired_folder / "masks/p1_a.png").write_bytes(b"no image")
    fixed = fix(DataConfig(format="pairs", root=paired_folder), catalogue, tmp_path / "new")
    assert list(fixed.left_out) == ["images/p1_a.png"]
    assert len(list((tmp_path / "new").rglob("*.png"))) == 22
    assert fixed.images == 11


def test_a_sound_data_set_is_copied_whole(tmp_path: Path, save_image: SaveImage, catalogue: Catalogue) -> None:
    config = coco(tmp_path / "data", save_image, [{"image_id": n, "segmentation": [SQUARE]} for n in range(4)])
    fixed = fix(config, catalogue, tmp_path / "new")
    assert (fixed.changes, fixed.left_out, fixed.images) == ([], {}, 4)
    samples = read_samples(config.model_copy(update={"root": tmp_path / "new"}), catalogue)
    expected = decode((Polygons((tuple(map(float, SQUARE)),)),), (32, 32), "x")
    assert all(np.array_equal(load_example(sample).mask, expected) for sample in samples)


def test_a_folder_that_holds_something_or_lies_within_is_refused(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    config = coco(tmp_path / "data", save_image, [{"image_id": 0, "segmentation": [SQUARE]}])
    check = check_data(config, catalogue)
    (tmp_path / "new").mkdir()
    (tmp_path / "new/x").touch()
    with pytest.raises(UserError, match="is not empty"):
        fix_data(config, check, catalogue, tmp_path / "new")
    with pytest.raises(UserError, match="lie in one another"):
        fix_data(config, check, catalogue, tmp_path / "data/new")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_leaving_out_images_does_not_end_is_refused(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    annotations = [{"image_id": 0, "segmentation": [SQUARE]}, {"segmentation": [SQUARE]}]
    config = coco(tmp_path / "data", save_image, annotations)
    with pytest.raises(UserError, match=r"cannot be mended: annotations.json annotations\[1\]: no 'image_id'"):
        fix_data(config, check_data(config, catalogue), catalogue, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_format_that_draws_its_own_files_is_refused(tmp_path: Path, catalogue: Catalogue) -> None:
    config = DataConfig(format="phantom", root=tmp_path / "cache", options={"images": 3, "size": 32})
    with pytest.raises(UserError, match="'phantom' cannot be written back"):
        fix_data(config, check_data(config, catalogue), catalogue, tmp_path / "new")


def test_a_table_of_groups_is_written_anew_for_the_copy(
    tmp_path: Path, save_image: SaveImage, catalogue: Catalogue
) -> None:
    annotations = [{"image_id": n, "segmentation": [SQUARE]} for n in (0, 1, 2)] + [
        {"image_id": 3, "segmentation": [[1, 1]]}
    ]
    config = coco(tmp_path / "data", save_image, annotations)
    (tmp_path / "g.csv").write_text("id,group\n0,a\n1,a\n2,b\n3,b\n7,c\n")
    config = config.model_copy(update={"groups": tmp_path / "g.csv"})
    fixed = fix_data(config, check_data(config, catalogue), catalogue, tmp_path / "new")
    assert list(fixed.left_out) == ["3.png"]
    assert (tmp_path / "new/groups.csv").read_text() == "file,group\n0.png,a\n1.png,a\n2.png,b\n"
    assert f"data.groups={tmp_path / 'new/groups.csv'}" in fixed.summary()
    copy = config.model_copy(update={"root": tmp_path / "new", "groups": tmp_path / "new/groups.csv"})
    assert [sample.group for sample in read_samples(copy, catalogue)] == ["a", "a", "b"]
