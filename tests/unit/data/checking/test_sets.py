"""Findings about a whole data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.data.checking import sets
from vesselbench.data.checking.images import ImageFacts, examine_image
from vesselbench.data.checking.masks import MaskFacts
from vesselbench.data.findings import Place
from vesselbench.types import MaskFile, Sample, Size


def images(sizes: list[Size]) -> list[ImageFacts]:
    return [ImageFacts(Place(f"{number}.png"), size, "grey") for number, size in enumerate(sizes)]


def test_an_image_unlike_the_usual_size_is_an_outlier() -> None:
    found = list(sets.size_outliers(images([(512, 512)] * 9 + [(512, 500)])))
    assert [(finding.code, finding.file) for finding in found] == [("size-outlier", "9.png")]
    assert "9 of 10 images are 512 x 512" in found[0].reason


def test_without_a_usual_size_only_an_extreme_is_an_outlier() -> None:
    sizes = [(100, 100 + number) for number in range(9)]
    assert not list(sets.size_outliers(images(sizes)))
    found = list(sets.size_outliers(images([*sizes, (2000, 2000)])))
    assert [finding.file for finding in found] == ["9.png"]


def test_two_images_of_two_sizes_say_nothing() -> None:
    assert not list(sets.size_outliers(images([(1, 1), (900, 900)])))


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "grey"), ("RGB", "coloured"), ("RGBA", "with an alpha channel"), ("grey RGB", "grey")]
)
def test_the_kind_of_an_image_is_what_its_pixels_show(tmp_path: Path, mode: str, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert("L").convert("RGB") if mode == "grey RGB" else Image.fromarray(pixels)
    picture = picture if mode == "grey RGB" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    assert examine_image(tmp_path / "a.png", Place("a.png"), "a").facts.kind == kind


def test_mixed_kinds_are_one_finding_that_names_the_rarest() -> None:
    facts = [*images([(9, 9)] * 4), ImageFacts(Place("c.png"), (9, 9), "coloured")]
    (finding,) = sets.mixed_modes(facts)
    assert finding.file == "c.png"
    assert finding.reason.startswith("4 grey, 1 coloured")
    assert not list(sets.mixed_modes(images([(9, 9)] * 4)))


def test_a_target_that_hardly_occurs_is_named_with_its_share() -> None:
    masks = [MaskFacts("vein", 10, 10_000), MaskFacts("artery", 500, 10_000), MaskFacts("vein", 0, 10_000)]
    (finding,) = sets.class_imbalance(masks)
    assert finding.reason == "0.050% of the pixels are 'vein'; it is in 1 of 2 masks"
    assert not list(sets.class_imbalance([MaskFacts("vein", 0, 10_000)]))  # every mask is empty: said elsewhere


def test_names_that_fold_together_are_found(tmp_path: Path) -> None:
    names = ["a.png", "A.png", "\u00e9.png", "e\u0301.png", "b.png"]
    samples = [Sample(name, tmp_path / name, ()) for name in names]
    assert [finding.file for finding in sets.twin_names(samples, tmp_path)] == ["A.png", "e\u0301.png"]


def test_values_that_belong_to_no_target_are_counted(tmp_path: Path) -> None:
    for number, values in enumerate(([0, 1, 2], [0, 1, 7], [0, 0, 7])):
        Image.fromarray(np.array([values], np.uint8)).save(tmp_path / f"{number}.png")
    samples = [
        Sample(f"{n}:{target}", tmp_path / "x.png", MaskFile(tmp_path / f"{n}.png", (value,)), target)
        for n in range(3)
        for target, value in (("artery", 1), ("vein", 2))
    ]
    (finding,) = sets.unmapped_values(samples)
    assert finding.reason == "7 stands in 2 of 3 masks and belongs to no target"


@pytest.mark.parametrize(("orientation", "codes"), [(1, []), (3, ["turned-image"]), (6, ["turned-image"])])
def test_an_image_that_exif_turns_is_found(tmp_path: Path, orientation: int, codes: list[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    examined = examine_image(tmp_path / "a.jpg", Place("a.jpg"), "a")
    assert [finding.code for finding in examined.findings] == codes
    assert examined.facts.size == ((16, 8) if orientation == 6 else (8, 16))


def test_deep_and_flat_images_are_found(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 900, np.uint16)).save(tmp_path / "a.png")
    found = examine_image(tmp_path / "a.png", Place("a.png"), "a").findings
    assert [finding.code for finding in found] == ["deep-image", "flat-image"]
