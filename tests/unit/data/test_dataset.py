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


@pytest.fixture
def leaking(config: DataConfig) -> DataConfig:
    """A frame of the test patient p5 was copied into the training patient p0."""
    assert config.root is not None
    images = config.root / "images"
    (images / "p0_a.png").write_bytes((images / "p5_a.png").read_bytes())
    return config


def test_a_leak_stops_the_loading(leaking: DataConfig, catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match="1 pair of equal image files across sets") as caught:
        load_dataset(leaking, catalogue)
    assert "p0_a (train) and p5_a (test)" in caught.value.message
    assert "data.allow_leak=true" in caught.value.hint


def test_an_allowed_leak_is_said_and_stays_with_the_data(
    leaking: DataConfig, catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = load_dataset(leaking.model_copy(update={"allow_leak": True}), catalogue)
    assert [(leak.kind, leak.a, leak.b) for leak in dataset.leaks] == [("bytes", "p0_a", "p5_a")]
    assert dataset.leak_lines() == ["1 pair of equal image files across sets (test and train)"]
    assert dataset.leak_lines()[0] in caplog.text


def test_a_group_in_two_sets_of_a_split_file_is_stamped_when_allowed(
    config: DataConfig, catalogue: Catalogue, tmp_path: Path
) -> None:
    sides = {"p5_b": "test", "p4_a": "val", "p4_b": "val"}
    names = [f"p{patient}_{eye}" for patient in range(6) for eye in "ab"]
    rows = "".join(f"{name},{sides.get(name, 'train')}\n" for name in names)
    (tmp_path / "split.csv").write_text(f"id,set\n{rows}")
    split = config.split.model_copy(update={"file": tmp_path / "split.csv"})
    parted = config.model_copy(update={"split": split})
    with pytest.raises(UserError, match="group 'p5' stands in train and in test"):
        load_dataset(parted, catalogue)
    dataset = load_dataset(parted.model_copy(update={"allow_leak": True}), catalogue)
    assert dataset.leak_lines() == ["1 pair of samples of one group across sets (test and train)"]


def test_clean_data_have_no_leak(config: DataConfig, catalogue: Catalogue) -> None:
    dataset = load_dataset(config.model_copy(update={"allow_leak": True}), catalogue)
    assert dataset.leaks == ()
    assert dataset.leak_lines() == []


def test_every_set_is_described_with_its_share_of_vessel(config: DataConfig, catalogue: Catalogue) -> None:
    dataset = load_dataset(config, catalogue)
    lines = dataset.described()
    assert [line.split(",")[0] for line in lines] == [
        "train: 8 samples of 4 groups",
        "val: 2 samples of 1 groups",
        "test: 2 samples of 1 groups",
    ]
    shares = [dataset.fractions[sample_id] for sample_id in dataset.split.sets["val"]]
    assert lines[1].endswith(f", {sum(shares) / 2:.2%} of the pixels are vessel")
    assert set(dataset.fractions) == {sample.id for sample in dataset.samples}


def test_a_second_look_fills_no_polygon(tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(root=tmp_path, options={"images": 12, "size": 32}, cache=tmp_path / "cache")
    first = load_dataset(config, catalogue)
    monkeypatch.setattr("vesselbench.data.cache.decode", None)  # it would fail if it were called
    again = load_dataset(config, catalogue)
    assert again.split == first.split
    assert again.fractions == first.fractions
    assert load_dataset(config.model_copy(update={"cache": "off"}), catalogue).split == first.split
