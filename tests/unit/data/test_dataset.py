"""load_dataset decodes every sample of every set once, before anything depends on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.config import DataConfig
from vesselbench.data.dataset import load_dataset
from vesselbench.data.fingerprint import FingerprintLines, fingerprint
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue

TEST_STEM = "p5_b"


@pytest.fixture
def config(paired_folder: Path) -> DataConfig:
    """Patient p5 is the test set; every image has a field of view, p5_b a second observer's mask as well."""
    for image in sorted((paired_folder / "images").iterdir()):
        field = np.full((12, 16), 255, dtype=np.uint8)
        field[:, 0] = 0
        (paired_folder / "fov").mkdir(exist_ok=True)
        Image.fromarray(field).save(paired_folder / "fov" / image.name)
    (paired_folder / "second").mkdir()
    (paired_folder / "second" / f"{TEST_STEM}.png").write_bytes(
        (paired_folder / "masks" / f"{TEST_STEM}.png").read_bytes()
    )
    return DataConfig.model_validate(
        {
            "format": "pairs",
            "root": paired_folder,
            "group": r"(p\d)_",
            "split": {"test": ["p5"], "val": ["p4"]},
            "options": {"fov": "fov", "observer2": "second", "foreground": [255]},
        }
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def as_cut_jpeg(root: Path) -> None:
    """The test image as a JPEG without its end."""
    old = root / "images" / f"{TEST_STEM}.png"
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(old.with_suffix(".jpg"))
    old.unlink()
    old.with_suffix(".jpg").write_bytes(old.with_suffix(".jpg").read_bytes()[:-40])


def cut_image(root: Path) -> None:
    cut(root / "images" / f"{TEST_STEM}.png")


def cut_observer(root: Path) -> None:
    cut(root / "second" / f"{TEST_STEM}.png")


def small_observer(root: Path) -> None:
    Image.new("L", (3, 3)).save(root / "second" / f"{TEST_STEM}.png")


def empty_field(root: Path) -> None:
    Image.new("L", (16, 12), 0).save(root / "fov" / f"{TEST_STEM}.png")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (as_cut_jpeg, "cut short"),
        (cut_image, "cut short"),
        (cut_observer, "cut short"),
        (small_observer, "3 x 3, its image 12 x 16"),
        (empty_field, "the field of view is empty"),
    ],
)
def test_a_broken_sample_of_the_test_set_stops_the_loading_and_is_named(
    config: DataConfig, catalogue: Catalogue, damage: Callable[[Path], None], reason: str
) -> None:
    assert load_dataset(config, catalogue).split.sets["test"] == ("p5_a", TEST_STEM)
    assert config.root is not None
    damage(config.root)
    with pytest.raises(UserError, match=reason) as caught:
        load_dataset(config, catalogue)
    assert TEST_STEM in caught.value.message
    assert caught.value.hint


def test_a_foreground_value_that_stands_in_no_mask_stops_the_loading(config: DataConfig, catalogue: Catalogue) -> None:
    wrong = config.model_copy(update={"options": {**config.options, "foreground": [1]}})
    with pytest.raises(UserError, match="foreground: 1 occurs in none of 12 masks"):
        load_dataset(wrong, catalogue)


def test_the_fingerprint_of_the_loaded_data_is_that_of_the_samples(config: DataConfig, catalogue: Catalogue) -> None:
    dataset = load_dataset(config, catalogue)
    assert dataset.split.fingerprint == fingerprint(dataset.samples)


def test_an_image_that_cannot_be_read_is_a_user_error(config: DataConfig, catalogue: Catalogue) -> None:
    sample = load_dataset(config, catalogue).samples[0]
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        FingerprintLines().add(replace(sample, image=sample.image.parent), None, None)
