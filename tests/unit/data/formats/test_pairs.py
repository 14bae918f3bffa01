"""The format pairs: folders and patterns, and everything that does not pair up."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.data.findings import collecting
from vesselbench.data.formats.pairs import Pairs
from vesselbench.data.read import load_example
from vesselbench.errors import UserError
from vesselbench.types import MaskFile


def read(root: Path, **options: object) -> list:
    return list(Pairs().read(root, options))


def test_equal_stems_are_paired_in_order(paired_folder: Path) -> None:
    samples = read(paired_folder)
    assert [sample.id for sample in samples[:3]] == ["p0_a", "p0_b", "p1_a"]
    assert samples[0].mask == MaskFile(paired_folder / "masks" / "p0_a.png")
    assert (samples[0].target, samples[0].prompt) == ("vessel", "blood vessel")
    assert samples[0].origin == "masks/p0_a.png"
    assert load_example(samples[0]).mask.shape == (12, 16)


def test_patterns_find_stems_within_names(paired_folder: Path) -> None:
    for path in list((paired_folder / "masks").iterdir()):
        path.rename(path.with_name(f"{path.stem}_manual.png"))
    samples = read(paired_folder, images="images/{stem}.png", masks="masks/{stem}_manual.png")
    assert [sample.id for sample in samples[:2]] == ["p0_a", "p0_b"]
    assert samples[1].mask == MaskFile(paired_folder / "masks" / "p0_b_manual.png")


def test_a_stem_may_occur_twice_in_a_pattern(paired_folder: Path) -> None:
    for path in list((paired_folder / "images").iterdir()):
        target = paired_folder / "cases" / path.stem
        target.mkdir(parents=True)
        path.rename(target / f"{path.stem}_image.png")
        (paired_folder / "masks" / path.name).rename(target / f"{path.stem}_mask.png")
    samples = read(paired_folder, images="cases/{stem}/{stem}_image.png", masks="cases/{stem}/{stem}_mask.png")
    assert len(samples) == 12
    assert samples[0].id == "p0_a"


def test_special_characters_of_a_pattern_are_meant_literally(paired_folder: Path) -> None:
    (paired_folder / "images").rename(paired_folder / "im[1]")
    assert len(read(paired_folder, images="im[1]/{stem}.png")) == 12


def test_sub_folders_are_part_of_the_stem(paired_folder: Path) -> None:
    for kind in ("images", "masks"):
        (paired_folder / kind / "sub").mkdir()
        shutil.copy(paired_folder / kind / "p0_a.png", paired_folder / kind / "sub" / "p0_a.png")
    assert read(paired_folder)[-1].id == "sub/p0_a"


def test_hidden_and_other_files_do_not_count(paired_folder: Path) -> None:
    for name in (".DS_Store", "notes.txt", "._p0_a.png"):
        (paired_folder / "images" / name).write_bytes(b"x")
    assert len(read(paired_folder)) == 12


def test_images_without_masks_are_counted_and_five_are_named(paired_folder: Path) -> None:
    for stem in ("p0_a", "p0_b", "p1_a", "p1_b", "p2_a", "p2_b", "p3_a"):
        (paired_folder / "masks" / f"{stem}.png").unlink()
    with pytest.raises(UserError, match="7 of 12 images have no file") as caught:
        read(paired_folder)
    assert caught.value.message.endswith("p0_a, p0_b, p1_a, p1_b, p2_a and 2 more")
    assert "data.options.masks" in caught.value.hint


def test_masks_without_images_are_refused(paired_folder: Path) -> None:
    (paired_folder / "images" / "p5_b.png").unlink()
    with pytest.raises(UserError, match=r"1 of 12 files in .*masks belong to no image: p5_b"):
        read(paired_folder)


def test_two_images_of_one_stem_are_refused(paired_folder: Path) -> None:
    shutil.copy(paired_folder / "images" / "p0_a.png", paired_folder / "images" / "p0_a.bmp")
    with pytest.raises(UserError, match="same stem 'p0_a'"):
        read(paired_folder)


def test_a_missing_folder_and_an_empty_one_are_refused(paired_folder: Path) -> None:
    with pytest.raises(UserError, match="nothing is not a folder"):
        read(paired_folder, masks="nothing")
    (paired_folder / "empty").mkdir()
    with pytest.raises(UserError, match="no images in"):
        read(paired_folder, images="empty")
    with pytest.raises(UserError, match="no images in"):
        read(paired_folder, images="images/{stem}.jpg")


def test_every_image_needs_a_field_of_view_when_one_is_asked_for(paired_folder: Path) -> None:
    (paired_folder / "fov").mkdir()
    for path in (paired_folder / "images").iterdir():
        Image.fromarray(np.ones((12, 16), dtype=np.uint8)).save(paired_folder / "fov" / f"{path.stem}.gif")
    assert load_example(read(paired_folder, fov="fov")[0]).fov.all()
    (paired_folder / "fov" / "p0_a.gif").unlink()
    with pytest.raises(UserError, match=r"1 of 12 images have no file in .*fov: p0_a"):
        read(paired_folder, fov="fov")


def test_a_second_observer_may_be_absent_and_that_is_said(
    paired_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (paired_folder / "second").mkdir()
    shutil.copy(paired_folder / "masks" / "p1_a.png", paired_folder / "second")
    with caplog.at_level(logging.INFO):
        samples = read(paired_folder, observer2="second")
    assert [sample.id for sample in samples if sample.observer2] == ["p1_a"]
    assert "11 of 12 images have no file" in caplog.text


def test_chosen_values_reach_the_masks(paired_folder: Path) -> None:
    assert read(paired_folder, foreground=[1, 2])[0].mask.foreground == (1, 2)


def class_ids(folder: Path, mode: str = "L") -> np.ndarray:
    """Masks of the classes 0, 1, 2, 7 in place of the folder's own, the same for all."""
    classes = np.random.default_rng(3).choice([0, 1, 2, 7], (12, 16)).astype(np.uint8)
    for path in (folder / "masks").iterdir():
        Image.fromarray(classes.astype(np.uint16) if mode == "I;16" else classes).save(path)
    return classes


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_a_class_id_mask_gives_a_sample_per_target(paired_folder: Path, mode: str) -> None:
    classes = class_ids(paired_folder, mode)
    samples = read(paired_folder, values={"artery": 1, "vein": [2, 7]}, prompts={"vein": "dark vessel"})
    assert [sample.id for sample in samples[:2]] == ["p0_a:artery", "p0_a:vein"]
    assert [sample.prompt for sample in samples[:2]] == ["artery", "dark vessel"]
    assert len(samples) == 24
    assert np.array_equal(load_example(samples[0]).mask, classes == 1)
    assert np.array_equal(load_example(samples[1]).mask, np.isin(classes, (2, 7)))


def test_more_than_two_values_demand_a_mapping(paired_folder: Path) -> None:
    class_ids(paired_folder)
    with pytest.raises(UserError, match="4 values: 0, 1, 2, 7"):
        load_example(read(paired_folder)[0])


def test_colours_name_targets(paired_folder: Path) -> None:
    colours = np.zeros((12, 16, 3), dtype=np.uint8)
    colours[:4], colours[4:6] = (255, 0, 0), (0, 0, 255)
    for path in (paired_folder / "masks").iterdir():
        Image.fromarray(colours).save(path)
    with pytest.raises(UserError, match="coloured") as caught:
        load_example(read(paired_folder)[0])
    assert "#ff0000" in caught.value.message
    artery, vein = read(paired_folder, values={"artery": "#ff0000", "vein": ["#0000FF"]})[:2]
    assert load_example(artery).mask.sum() == 4 * 16
    assert load_example(vein).mask.sum() == 2 * 16


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"values": {"a": [1], "b": [1]}}, "1 belongs to 'a' and to 'b'"),
        ({"values": {"a": [1]}, "foreground": [1]}, "foreground must not be set"),
        ({"values": {"a": [1]}, "target": "b"}, "target must not be set"),
        ({"values": {"a": "red"}}, "'red' is no colour"),
        ({"values": {"a": []}}, "'a' has no value"),
        ({"values": {}}, "names no target"),
        ({"values": {"a": 1}, "prompts": {"b": "x"}}, "prompts names b"),
        ({"values": {"a": 1, "b": 2}, "prompts": {"b": "A."}}, "'a' and 'b' have the same prompt"),
        ({"values": {"a": 1}, "prompts": {"a": " ."}}, "is empty"),
    ],
)
def test_a_mapping_that_does_not_make_sense_is_refused(paired_folder: Path, options: dict, words: str) -> None:
    with pytest.raises(UserError) as caught:
        read(paired_folder, **options)
    assert words in str(caught.value)


def test_while_collecting_unpaired_files_are_named_one_by_one(paired_folder: Path) -> None:
    (paired_folder / "masks" / "p0_a.png").unlink()
    (paired_folder / "images" / "p5_b.png").unlink()
    with collecting() as findings:
        samples = read(paired_folder)
    assert len(samples) == 10
    assert [(finding.code, finding.file) for finding in findings] == [
        ("annotation-without-image", "masks/p5_b.png"),
        ("image-without-annotation", "images/p0_a.png"),
    ]
