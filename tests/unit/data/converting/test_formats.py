"""Conversions of particular sets: ARCADE's folder tree, and real retinal masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from vesselbench.config import DataConfig
from vesselbench.data.converting.convert import Conversion, convert_data, write_copy
from vesselbench.data.converting.names import own_names
from vesselbench.data.converting.scene import WriteOptions
from vesselbench.data.read import load_example, read_samples
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Example

SIZE = (20, 26)
Convert = Callable[..., Conversion]


def reading(done: Conversion) -> DataConfig:
    groups = done.folder / "groups.csv" if done.has_group_file else None
    return DataConfig(format=done.form, root=done.folder, options=done.options, groups=groups)


def examples(config: DataConfig, catalogue: Catalogue) -> dict[str, Example]:
    return {sample.id: load_example(sample) for sample in read_samples(config, catalogue)}


@pytest.fixture
def convert(catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Convert:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(config: DataConfig, form: str, name: str = "copy", **options: Any) -> Conversion:
        return convert_data(config, catalogue, tmp_path / name, form, WriteOptions(**options))

    return run


def arcade_like(root: Path, save_image: Callable[..., Path]) -> DataConfig:
    """Two sets with two segments; in val an image without any."""
    for name, stems in (("train", ("1", "2")), ("val", ("1",))):
        folder = root / "syntax" / name
        images = [{"id": int(s), "file_name": f"{s}.png", "height": SIZE[0], "width": SIZE[1]} for s in stems]
        for stem in stems:
            save_image(folder / "images" / f"{stem}.png", SIZE, len(name) + int(stem))
        triangle = [[3, 3, 20, 4, 9, 17]]
        shapes = [(1, 3), (1, 7), (2, 7)] if name == "train" else []
        annotations = [
            {"id": n, "image_id": image, "category_id": category, "segmentation": triangle}
            for n, (image, category) in enumerate(shapes)
        ]
        document = {"images": images, "annotations": annotations}
        document["categories"] = [{"id": 3, "name": "1"}, {"id": 7, "name": "12a"}]
        (folder / "annotations").mkdir()
        (folder / "annotations" / f"{name}.json").write_text(json.dumps(document))
    return DataConfig(format="arcade", root=root, options={"sets": ["train", "val"], "per_class": True})


@pytest.mark.parametrize("per_class", [True, False])
def test_arcade_comes_back_through_coco_with_sets_and_segments(
    tmp_path: Path, save_image: Callable[..., Path], catalogue: Catalogue, convert: Convert, per_class: bool
) -> None:
    source = arcade_like(tmp_path / "arcade", save_image)
    source = source.model_copy(update={"options": {"sets": ["train", "val"], "per_class": per_class}})
    there = convert(source, "coco", "there")
    again = convert(reading(there), "arcade", "back")
    before, after = examples(source, catalogue), examples(reading(again), catalogue)
    assert list(before) == list(after)
    assert ("val/1:segment 12a" in after) == per_class
    for one, other in zip(before.values(), after.values(), strict=True):
        assert np.array_equal(one.mask, other.mask)
        assert np.array_equal(one.image, other.image)
        assert one.sample.prompt == other.sample.prompt
    assert again.losses.unheld == {}


def test_images_in_no_set_are_put_into_the_first_and_have_another_id(
    paired_folder: Path, catalogue: Catalogue, convert: Convert
) -> None:
    source = DataConfig(format="pairs", root=paired_folder)
    done = convert(source, "arcade")
    assert done.renamed["p0_a"] == "train/p0_a"
    assert len(done.renamed) == 12
    before, after = examples(source, catalogue), examples(reading(done), catalogue)
    assert [np.array_equal(one.mask, after[f"train/{name}"].mask) for name, one in before.items()] == [True] * 12


def test_targets_that_are_no_segments_are_refused(tmp_path: Path, paired_folder: Path, convert: Convert) -> None:
    for folder in ("images", "masks"):
        (paired_folder / folder).rename(tmp_path / "aside")
        (paired_folder / folder).mkdir()
        (tmp_path / "aside").rename(paired_folder / folder / "train")
    options = {"values": {"artery": [255], "vein": [7]}}
    with pytest.raises(UserError, match="not the targets artery, vein"):
        convert(DataConfig(format="pairs", root=paired_folder, options=options), "arcade")


CHASE = Path(__file__).parents[4] / "../shared/data/CHASE_DB1"


@pytest.mark.skipif(not CHASE.is_dir(), reason="CHASE_DB1 is not beside this checkout")
def test_real_retinal_masks_keep_every_pixel_as_outlines(catalogue: Catalogue, convert: Convert) -> None:
    options = {"masks": "masks/{stem}_1stHO.png", "fov": "fov", "observer2": "masks_observer2/{stem}_2ndHO.png"}
    source = DataConfig(format="pairs", root=CHASE.resolve(), options=options, group=r"Image_(\d+)")
    done = convert(source, "labelme")
    assert all(loss.exact for loss in done.losses.masks)
    assert sum(loss.holes for loss in done.losses.masks) > 100
    assert done.losses.unheld["field of view"] == len(done.losses.masks)


@pytest.fixture
def grey_folder(tmp_path: Path) -> DataConfig:
    """Six grey images of three patients, p0_a .. p2_b, one of them below a folder, with class-id masks."""
    rng = np.random.default_rng(0)
    for number in range(6):
        stem = f"p{number // 2}_{'ab'[number % 2]}" if number else "left/p0_a"
        for folder, pixels in (("images", rng.integers(40, 200, (13, 17))), ("masks", rng.integers(0, 3, (13, 17)))):
            path = tmp_path / "grey" / folder / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    values = {"artery": [1], "vein": [2]}
    return DataConfig(format="pairs", root=tmp_path / "grey", options={"values": values}, group=r"(p\d)_")


@pytest.mark.parametrize("form", ["nifti", "dicom"])
@pytest.mark.parametrize("several", [True, False])
def test_volumes_hold_every_pixel_of_grey_images_and_masks_and_the_groups(
    grey_folder: DataConfig, catalogue: Catalogue, convert: Convert, form: str, several: bool
) -> None:
    source = grey_folder if several else grey_folder.model_copy(update={"options": {"foreground": [2]}})
    done = convert(source, form)
    assert done.form == "slices"
    assert done.losses.unheld == {}
    assert done.renamed == {}
    table = ["groups.csv"] if form == "nifti" else []
    assert sorted(path.name for path in done.folder.iterdir()) == [*table, "images", "masks"]
    before, after = examples(source, catalogue), examples(reading(done), catalogue)
    assert before.keys() == after.keys()
    for name, one in before.items():
        assert np.array_equal(one.image, after[name].image)
        assert np.array_equal(one.mask, after[name].mask)
        assert one.sample.group == after[name].sample.group
        assert one.sample.prompt == after[name].sample.prompt
    back = convert(reading(done), "coco", "back")
    assert all(loss.exact for loss in back.losses.masks)
    assert back.losses.unheld == {}


def test_what_volumes_cannot_hold_is_counted(paired_folder: Path, convert: Convert) -> None:
    (paired_folder / "masks").rename(paired_folder / "fov")
    (paired_folder / "fov/p0_a.png").rename(paired_folder / "p0_a.png")
    for path in (paired_folder / "images").iterdir():
        mask = Image.fromarray(np.eye(12, 16, dtype=np.uint8) * 255)
        (paired_folder / "masks").mkdir(exist_ok=True)
        mask.save(paired_folder / "masks" / path.name)
    (paired_folder / "p0_a.png").rename(paired_folder / "fov/p0_a.png")
    done = convert(DataConfig(format="pairs", root=paired_folder, options={"fov": "fov"}), "nifti")
    assert done.losses.unheld == {"field of view": 12, "pixels of the image": 12}  # the images are coloured
    assert all(loss.exact for loss in done.losses.masks)


@pytest.mark.parametrize("form", ["nifti", "dicom"])
def test_pixel_spacing_goes_along(grey_folder: DataConfig, catalogue: Catalogue, convert: Convert, form: str) -> None:
    samples = [replace(sample, spacing=(0.25, 0.5)) for sample in read_samples(grey_folder, catalogue)]
    folder = grey_folder.root.parent / "copy"
    done = write_copy(samples, own_names(samples), folder, form, WriteOptions(), catalogue)
    assert done.losses.unheld == {}
    assert {sample.spacing for sample in read_samples(reading(done), catalogue)} == {(0.25, 0.5)}
    assert convert(reading(done), "pairs", "back").losses.unheld == {"pixel spacing": 12}


def test_a_written_dicom_file_is_a_secondary_capture(grey_folder: DataConfig, convert: Convert) -> None:
    done = convert(grey_folder, "dicom")
    data = pydicom.dcmread(done.folder / "images/p1_b.dcm")
    assert (data.PatientID, data.Modality, data.SOPClassUID.name) == ("p1", "OT", "Secondary Capture Image Storage")
    other = pydicom.dcmread(done.folder / "images/p1_a.dcm")
    assert data.StudyInstanceUID == other.StudyInstanceUID
    assert data.SOPInstanceUID != other.SOPInstanceUID
    long = grey_folder.model_copy(update={"group": None, "groups": grey_folder.root / "g.csv"})
    rows = "".join(f"left/p0_a.png,{'x' * 65}\n" if n == 0 else f"p{n // 2}_{'ab'[n % 2]}.png,y\n" for n in range(6))
    (grey_folder.root / "g.csv").write_text(f"file,group\n{rows}")
    with pytest.raises(UserError, match="is no PatientID"):
        convert(long, "dicom", "other")
    with pytest.raises(UserError, match="holds every pixel"):
        convert(grey_folder, "dicom", "other", tolerance=1.0)
