"""read_samples and load_example: what reaches the rest of the road, and what is refused before."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.config import DataConfig
from vesselbench.data.read import load_example, read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import MaskFile, Polygons, Sample

SaveImage = Callable[..., Path]
SQUARE = [2, 2, 9, 2, 9, 9, 2, 9]


def pairs(root: Path, **values: object) -> DataConfig:
    return DataConfig.model_validate({"format": "pairs", "root": root, **values})


def test_each_image_is_a_group_of_its_own_by_default(paired_folder: Path, catalogue: Catalogue) -> None:
    samples = read_samples(pairs(paired_folder), catalogue)
    assert len({sample.group for sample in samples}) == 12
    assert samples[0].group == "images/p0_a"


def test_the_group_expression_captures_the_patient(paired_folder: Path, catalogue: Catalogue) -> None:
    samples = read_samples(pairs(paired_folder, group=r"images/(p\d+)_"), catalogue)
    assert [sample.group for sample in samples[:3]] == ["p0", "p0", "p1"]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (r"patient(\d+)", r"finds no group in 'images/p0_a\.png'"),
        (r"p\d", "0 captures"),
        (r"(p)(\d)", "2 captures"),
        (r"(p", "no regular expression"),
    ],
)
def test_a_group_expression_that_does_not_fit_is_refused(
    paired_folder: Path, catalogue: Catalogue, expression: str, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        read_samples(pairs(paired_folder, group=expression), catalogue)


def test_a_format_without_a_folder_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match="needs a folder") as caught:
        read_samples(DataConfig(format="pairs"), catalogue)
    assert "data.root" in caught.value.hint


def test_a_missing_folder_is_named(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match="nowhere is not a folder"):
        read_samples(pairs(tmp_path / "nowhere"), catalogue)


def test_an_unknown_format_names_the_nearest(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match="no data set format named 'pears'") as caught:
        read_samples(DataConfig(format="pears", root=tmp_path), catalogue)
    assert "pairs" in caught.value.hint


def test_an_unknown_option_names_the_nearest(paired_folder: Path, catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match=r"unknown key 'data\.options\.mask'") as caught:
        read_samples(pairs(paired_folder, options={"mask": "masks"}), catalogue)
    assert "masks" in caught.value.hint


def coco_file(root: Path, **changes: object) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": 32, "width": 32}],
        "annotations": [{"image_id": 1, "category_id": 7, "segmentation": [SQUARE]}],
        "categories": [{"id": 7, "name": "vessel"}],
        **changes,
    }
    (root / "annotations.json").write_text(json.dumps(document))


def test_two_samples_of_one_id_are_both_named(tmp_path: Path, catalogue: Catalogue, save_image: SaveImage) -> None:
    for name in ("a.png", "a.jpg"):
        save_image(tmp_path / name, (32, 32))
    coco_file(
        tmp_path,
        images=[
            {"id": 1, "file_name": "a.png", "height": 32, "width": 32},
            {"id": 2, "file_name": "a.jpg", "height": 32, "width": 32},
        ],
    )
    with pytest.raises(UserError, match=r"id 'a': .*a\.png .*a\.jpg"):
        read_samples(DataConfig(format="coco", root=tmp_path), catalogue)


def test_missing_images_are_counted_and_named(tmp_path: Path, catalogue: Catalogue) -> None:
    coco_file(tmp_path)
    with pytest.raises(UserError, match=r"1 of 1 files do not exist: .*a\.png"):
        read_samples(DataConfig(format="coco", root=tmp_path), catalogue)


@pytest.mark.parametrize("by_link", [True, False])
def test_files_outside_the_root_are_refused(
    tmp_path: Path, catalogue: Catalogue, save_image: SaveImage, by_link: bool
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    outside = save_image(tmp_path / "secret.png", (32, 32))
    name = "a.png"
    if by_link:
        os.symlink(outside, root / name)
    else:
        name = "../secret.png"
    coco_file(root, images=[{"id": 1, "file_name": name, "height": 32, "width": 32}])
    with pytest.raises(UserError, match="lies outside"):
        read_samples(DataConfig(format="coco", root=root), catalogue)


def test_a_root_that_is_itself_a_link_is_fine(tmp_path: Path, catalogue: Catalogue, paired_folder: Path) -> None:
    os.symlink(paired_folder, tmp_path / "link")
    assert len(read_samples(pairs(tmp_path / "link"), catalogue)) == 12


def test_scaled_annotations_are_counted_in_one_message(
    tmp_path: Path, catalogue: Catalogue, save_image: SaveImage, caplog: pytest.LogCaptureFixture
) -> None:
    save_image(tmp_path / "a.png", (20, 20))
    coco_file(tmp_path, annotations=[{"image_id": 1, "category_id": 7, "segmentation": [SQUARE]}] * 3)
    read_samples(DataConfig(format="coco", root=tmp_path), catalogue)
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert messages == ["3 shapes annotated at 32x32 are scaled to images of 20x20 (HxW)"]


def test_deep_images_are_counted_in_one_message(
    paired_folder: Path, catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    for stem in ("p0_a", "p3_b"):
        Image.fromarray(np.full((12, 16), 4000, dtype=np.uint16)).save(paired_folder / "images" / f"{stem}.png")
    read_samples(pairs(paired_folder), catalogue)
    assert "2 images have more than 8 bits" in caplog.text


def test_load_example_brings_every_mask_to_the_size_of_the_image(tmp_path: Path, save_image: SaveImage) -> None:
    image = save_image(tmp_path / "a.png", (40, 20))
    fov = np.zeros((40, 20), dtype=np.uint8)
    fov[:30] = 1
    Image.fromarray(fov).save(tmp_path / "fov.png")
    sample = Sample(
        id="a",
        image=image,
        mask=(Polygons(((0, 0, 10, 0, 10, 20, 0, 20),), (20, 10)),),
        fov=MaskFile(tmp_path / "fov.png"),
        spacing=(0.5, 0.25),
    )
    example = load_example(sample)
    assert example.image.shape == (40, 20, 3)
    assert example.mask is not None
    assert example.mask.all()
    assert np.array_equal(example.fov, fov > 0)
    assert example.observer2 is None
    assert example.sample.spacing == (0.5, 0.25)


def test_load_example_keeps_the_absence_of_an_annotation(tmp_path: Path, save_image: SaveImage) -> None:
    assert load_example(Sample("a", save_image(tmp_path / "a.png"), None)).mask is None


def test_load_example_names_the_annotation_that_is_broken(tmp_path: Path, save_image: SaveImage) -> None:
    image = save_image(tmp_path / "a.png")
    sample = Sample("a", image, (Polygons(((1.0, 2.0),)),), origin="annotations.json annotations[4]")
    with pytest.raises(UserError, match=r"annotations\.json annotations\[4\]\[0\]: a polygon of 1 point"):
        load_example(sample)
