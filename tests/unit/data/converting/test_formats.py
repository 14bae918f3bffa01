"""Conversions of particular sets: ARCADE's folder tree, and real retinal masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesselbench.config import DataConfig
from vesselbench.data.converting.convert import Conversion, convert_data
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
def convert(catalogue: Catalogue, tmp_path: Path) -> Convert:
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


def test_an_image_in_no_set_is_refused(paired_folder: Path, convert: Convert) -> None:
    with pytest.raises(UserError, match="'p0_a' is in none"):
        convert(DataConfig(format="pairs", root=paired_folder), "arcade")


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
