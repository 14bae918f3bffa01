"""What stands on two sides of a split is found: groups, files, pixels, copies; and nothing that is merely alike."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from vesselbench.data.images import read_image
from vesselbench.data.splitting.leaks import (
    NEAR,
    Leak,
    Look,
    find_leaks,
    leak_records,
    look_at_image,
    perceptual_hash,
    refuse_found,
    summarise_leaks,
)
from vesselbench.errors import UserError
from vesselbench.rundir import file_sha256
from vesselbench.types import Sample, SetName, Split

SHARED = Path(__file__).parents[4] / "../shared/data"


def picture(seed: int, size: tuple[int, int] = (96, 120)) -> np.ndarray:
    """Smooth noise of several scales under a light from the left, uint8 [H,W,3]."""
    rng = np.random.default_rng(seed)
    grey = sum(scale * gaussian_filter(rng.standard_normal(size), scale) for scale in (2.0, 4.0, 8.0))
    grey = 110 + 40 * grey / np.std(grey) + np.linspace(-30, 30, size[1])
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def leaks_of(images: dict[str, tuple[Path, str, SetName]]) -> list[Leak]:
    samples = [Sample(name, path, (), group=group) for name, (path, group, _) in images.items()]
    sets: dict[SetName, tuple[str, ...]] = {
        set_name: tuple(name for name, (_, _, side) in images.items() if side == set_name)
        for set_name in ("train", "val", "test")
    }
    looks = {s.image: look_at_image(read_image(s.image), file_sha256(s.image)) for s in samples}
    return find_leaks(samples, Split("x", 0, sets, ""), looks)


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def resized(pixels: np.ndarray, factor: float) -> np.ndarray:
    height, width = (round(side * factor) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


COPIES = {
    "jpeg": lambda pixels: jpeg(pixels, 40),
    "half": lambda pixels: resized(pixels, 0.5),
    "larger": lambda pixels: resized(pixels, 1.7),
    "darker": lambda pixels: (pixels * 0.7 + 10).astype(np.uint8),
    "gamma": lambda pixels: (255 * (pixels / 255) ** 0.8).astype(np.uint8),
    "noise": lambda pixels: np.clip(pixels + np.random.default_rng(0).normal(0, 6, pixels.shape), 0, 255).astype(
        np.uint8
    ),
    "one pixel": lambda pixels: pixels + (np.arange(pixels.size).reshape(pixels.shape) == 0).astype(np.uint8),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_of_another_patient_is_found(tmp_path: Path, how: str) -> None:
    original, copy = save(tmp_path / "a.png", picture(1)), save(tmp_path / "b.png", COPIES[how](picture(1)))
    other = save(tmp_path / "c.png", picture(2))
    leaks = leaks_of({"a": (original, "p", "train"), "b": (copy, "q", "test"), "c": (other, "r", "test")})
    assert [(leak.kind, leak.a, leak.b, leak.sets) for leak in leaks] == [("near", "a", "b", ("train", "test"))]
    assert leaks[0].distance is not None
    assert 0 <= leaks[0].distance <= NEAR


def test_equal_files_equal_pixels_and_shared_groups_are_told_apart(tmp_path: Path) -> None:
    first = save(tmp_path / "a.png", picture(1))
    (tmp_path / "b.png").write_bytes(first.read_bytes())
    save(tmp_path / "c.bmp", picture(1))
    images: dict[str, tuple[Path, str, SetName]] = {
        "a": (first, "p", "train"),
        "b": (tmp_path / "b.png", "q", "val"),
        "c": (tmp_path / "c.bmp", "r", "test"),
        "d": (save(tmp_path / "d.png", picture(4)), "s", "train"),
        "e": (save(tmp_path / "e.png", picture(5)), "s", "test"),
    }
    found = [(leak.kind, leak.a, leak.b) for leak in leaks_of(images)]
    assert found == [("group", "d", "e"), ("bytes", "a", "b"), ("pixels", "a", "c"), ("pixels", "b", "c")]


def test_what_stands_on_one_side_or_in_no_set_is_no_leak(tmp_path: Path) -> None:
    a, b = save(tmp_path / "a.png", picture(1)), save(tmp_path / "b.png", picture(1))
    assert leaks_of({"a": (a, "p", "train"), "b": (b, "p", "train")}) == []
    samples = [Sample("a", a, (), group="p"), Sample("b", b, (), group="p")]
    looks = {path: look_at_image(read_image(path), "same") for path in (a, b)}
    assert find_leaks(samples, Split("x", 0, {"train": ("a",)}, ""), looks) == []


def test_flat_images_are_compared_by_their_pixels_only(tmp_path: Path) -> None:
    assert perceptual_hash(np.full((40, 50, 3), 7, np.uint8)) is None
    dark, light = (save(tmp_path / f"{value}.png", np.full((40, 50, 3), value, np.uint8)) for value in (7, 9))
    assert leaks_of({"a": (dark, "p", "train"), "b": (light, "q", "test")}) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 3), (40, 2000)])
def test_images_of_any_shape_have_a_hash(size: tuple[int, int]) -> None:
    bits = perceptual_hash(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    assert bits is None if size == (1, 1) else bits is not None and bits.dtype == bool


def test_a_leak_is_refused_with_counts_an_example_and_the_cure(tmp_path: Path) -> None:
    refuse_found([])
    path = save(tmp_path / "a.png", picture(1))
    leaks = leaks_of({"a": (path, "p", "train"), "b": (path, "p", "test"), "c": (path, "q", "val")})
    with pytest.raises(UserError, match="1 pair of samples of one group across sets") as caught:
        refuse_found(leaks)
    assert "3 pairs of equal image files" in caught.value.message
    assert "a (train) and b (test)" in caught.value.message
    assert "data.allow_leak=true" in caught.value.hint


def test_the_summary_holds_no_name_and_the_records_hold_all() -> None:
    leaks = [
        Leak("group", "secret1", "secret2", ("train", "test")),
        Leak("near", "secret1", "secret3", ("train", "val"), 0.1),
    ]
    lines = summarise_leaks(leaks)
    assert lines == [
        "1 pair of samples of one group across sets (test and train)",
        "1 pair of images that look the same across sets (train and val)",
    ]
    near = {"kind": "near", "a": "secret1", "b": "secret3", "sets": ["train", "val"], "distance": 0.1}
    assert leak_records(leaks)[1] == near


def test_thousands_of_images_are_compared_in_blocks() -> None:
    """1220 images and more: the one copy is found across blocks, in a few seconds."""
    rng = np.random.default_rng(0)
    bits = rng.random((2600, 300)) < 0.5
    bits[2500] = bits[3]
    bits[2500, :30] ^= True
    samples = [Sample(f"{n}", Path(f"{n}.png"), (), group=f"{n}") for n in range(len(bits))]
    looks = {sample.image: Look(sample.id, sample.id, row) for sample, row in zip(samples, bits, strict=True)}
    sets: dict[SetName, tuple[str, ...]] = {
        "train": tuple(sample.id for sample in samples[:2000]),
        "test": tuple(sample.id for sample in samples[2000:]),
    }
    started = time.perf_counter()
    found = find_leaks(samples, Split("x", 0, sets, ""), looks)
    assert [(leak.kind, leak.a, leak.b, leak.distance) for leak in found] == [("near", "3", "2500", 0.1)]
    assert time.perf_counter() - started < 20


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
@pytest.mark.parametrize(("folder", "stem", "images"), [("CHASE_DB1", 8, 28), ("ARCADE-syntax-panels", None, 26)])
def test_different_patients_are_not_taken_for_copies(folder: str, stem: int | None, images: int) -> None:
    paths = sorted((SHARED / folder / "images").iterdir())
    assert len(paths) == images
    hashes = [perceptual_hash(read_image(path)) for path in paths]
    distances = [
        float(np.mean(hashes[i] != hashes[j]))
        for i, one in enumerate(paths)
        for j, other in enumerate(paths[:i])
        if one.stem[:stem] != other.stem[:stem]
    ]
    assert min(distances) > 1.2 * NEAR
