"""Augmentation changes image and masks alike, and nothing but by the random numbers it is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vesselbench.config import AugmentConfig
from vesselbench.data.augment import augment, nth_pixel
from vesselbench.types import Example, Sample

GEOMETRY = AugmentConfig(brightness=0, contrast=0)
ALL = AugmentConfig(crop=6, angle=10, scale=0.2, gamma=0.3, blur=1, noise=0.02)


def example(height: int = 12, width: int = 20) -> Example:
    """An image whose channels hold the row, the column and the mask of each pixel."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    mask = np.random.default_rng(0).random((height, width)) < 0.4
    image = np.stack([rows, columns, mask.astype(np.uint8)], axis=-1)
    sample = Sample("a", Path("a.png"), None, spacing=(2.0, 1.0))
    return Example(sample, image, mask, fov=rows > 3, observer2=columns > 5)


@settings(max_examples=80)
@given(st.integers(0, 10_000), st.booleans(), st.booleans(), st.none() | st.integers(1, 12))
def test_every_mask_stays_on_its_pixels(seed: int, flip: bool, rotate: bool, crop: int | None) -> None:
    config = AugmentConfig(brightness=0, contrast=0, flip=flip, rotate=rotate, crop=crop)
    changed = augment(example(), config, np.random.default_rng(seed))
    assert np.array_equal(changed.mask, changed.image[..., 2] > 0)
    assert np.array_equal(changed.fov, changed.image[..., 0] > 3)
    assert np.array_equal(changed.observer2, changed.image[..., 1] > 5)
    assert sorted(changed.size) == ([crop, crop] if crop else [12, 20])


def test_all_eight_orientations_occur() -> None:
    corners = set()
    for seed in range(200):
        image = augment(example(), GEOMETRY, np.random.default_rng(seed)).image
        corners.add((image.shape[0], *image[0, 0, :2].tolist()))
    assert len(corners) == 8


def test_spacing_is_turned_with_the_image() -> None:
    for seed in range(20):
        changed = augment(example(), GEOMETRY, np.random.default_rng(seed))
        assert changed.sample.spacing == ((2.0, 1.0) if changed.size == (12, 20) else (1.0, 2.0))


def test_nothing_switched_on_changes_nothing() -> None:
    config = AugmentConfig(flip=False, rotate=False, brightness=0, contrast=0)
    changed = augment(example(), config, np.random.default_rng(0))
    assert np.array_equal(changed.image, example().image)
    assert np.array_equal(changed.mask, example().mask)


def test_grey_values_change_within_their_limits() -> None:
    grey = np.full((4, 4, 3), 100, dtype=np.uint8)
    plain = Example(Sample("a", Path("a.png"), None), grey, None)
    config = AugmentConfig(brightness=0.1, contrast=0.5)
    means = [augment(plain, config, np.random.default_rng(seed)).image.mean() for seed in range(300)]
    assert 74 <= min(means) < 80
    assert 120 < max(means) <= 126


def test_bright_values_are_cut_at_white_not_wrapped() -> None:
    white = Example(Sample("a", Path("a.png"), None), np.full((4, 4, 3), 250, dtype=np.uint8), None)
    config = AugmentConfig(brightness=1)
    values = [augment(white, config, np.random.default_rng(seed)).image for seed in range(40)]
    assert max(image.max() for image in values) == 255
    assert all(image.std() == 0 for image in values)


def test_the_same_random_numbers_give_the_same_example() -> None:
    one, two = (augment(example(), AugmentConfig(crop=7), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one.image, two.image)


@pytest.mark.parametrize("name", AugmentConfig.model_fields)
def test_switching_one_change_off_draws_as_many_random_numbers(name: str) -> None:
    off = {"crop": None, "flip": False, "rotate": False}.get(name, 0)
    on, less = np.random.default_rng(3), np.random.default_rng(3)
    augment(example(), ALL, on)
    augment(example(), ALL.model_copy(update={name: off}), less)
    assert on.bit_generator.state == less.bit_generator.state


@pytest.mark.parametrize("seed", range(4))
def test_every_mask_turns_and_grows_with_the_image(seed: int) -> None:
    """The image's third channel is a blurred mask: where it is clearly inside or outside, the mask must say so."""
    rows, columns = np.mgrid[:90, :120]
    mask = ((rows // 15) + (columns // 20)) % 2 == 0
    image = np.stack([rows, columns, mask * 255], axis=-1).astype(np.uint8)
    config = AugmentConfig(angle=30, scale=0.5, crop=64, brightness=0, contrast=0)
    changed = augment(Example(Sample("a", Path("a.png"), None), image, mask), config, np.random.default_rng(seed))
    assert changed.size == (64, 64)
    drawn = changed.image[..., 2]
    assert changed.mask[drawn > 140].all()
    assert not changed.mask[drawn < 115].any()
    assert 0.2 < changed.mask.mean() < 0.8


def test_spacing_follows_the_size_of_a_pixel() -> None:
    plain = Example(Sample("a", Path("a.png"), None, spacing=(1.0, 1.0)), np.zeros((9, 9, 3), np.uint8), None)
    spacings = [
        augment(plain, AugmentConfig(scale=1), np.random.default_rng(seed)).sample.spacing[0] for seed in range(60)
    ]
    assert 0.5 <= min(spacings) < 0.6
    assert 1.7 < max(spacings) <= 2.0


def test_gamma_moves_the_middle_and_leaves_black_and_white() -> None:
    ramp = np.repeat(np.array([[0, 64, 255]], np.uint8)[..., None], 3, axis=2)
    plain = Example(Sample("a", Path("a.png"), None), ramp, None)
    quiet = AugmentConfig(flip=False, rotate=False, brightness=0, contrast=0, gamma=1)
    middle = []
    for seed in range(40):
        black, grey, white = augment(plain, quiet, np.random.default_rng(seed)).image[0, :, 0].tolist()
        assert (black, white) == (0, 255)
        middle.append(grey)
    assert min(middle) < 25  # 255 * (64/255)^2 = 16
    assert max(middle) > 110  # 255 * (64/255)^0.5 = 128


def test_blur_and_noise_keep_the_mean_and_follow_their_limits() -> None:
    rows = np.arange(64)[:, None]
    stripes = np.repeat(np.broadcast_to((rows // 2 % 2) * 200 + 20, (64, 64))[..., None], 3, axis=2).astype(np.uint8)
    plain = Example(Sample("a", Path("a.png"), None), stripes, None)
    quiet = AugmentConfig(flip=False, rotate=False, brightness=0, contrast=0)
    blurred, noisy = quiet.model_copy(update={"blur": 2.0}), quiet.model_copy(update={"noise": 0.05})
    deviations = [augment(plain, blurred, np.random.default_rng(seed)).image.std() for seed in range(20)]
    assert min(deviations) < 12 < 80 < max(deviations)
    grains = [augment(plain, noisy, np.random.default_rng(seed)).image.astype(float) - stripes for seed in range(20)]
    assert max(one.std() for one in grains) < 0.05 * 255
    assert max(one.std() for one in grains) > 0.8 * 0.05 * 255
    assert max(abs(one.mean()) for one in grains) < 0.3


@pytest.mark.parametrize("seed", range(8))
def test_switching_rotation_off_leaves_crop_mirror_and_grey_values(seed: int) -> None:
    turned = augment(example(), AugmentConfig(crop=6), np.random.default_rng(seed)).image
    upright = augment(example(), AugmentConfig(crop=6, rotate=False), np.random.default_rng(seed)).image
    assert any(np.array_equal(np.rot90(upright, turns), turned) for turns in range(4))


@pytest.mark.parametrize("seed", range(8))
def test_switching_grey_values_off_leaves_the_geometry(seed: int) -> None:
    with_grey = augment(example(), AugmentConfig(crop=6), np.random.default_rng(seed))
    without = augment(example(), AugmentConfig(crop=6, brightness=0, contrast=0), np.random.default_rng(seed))
    assert np.array_equal(with_grey.mask, without.mask)


def test_the_original_is_not_written_to() -> None:
    original = example()
    before = original.image.copy()
    changed = augment(original, AugmentConfig(), np.random.default_rng(1))
    changed.image[:] = 0
    assert np.array_equal(original.image, before)


def test_a_side_shorter_than_the_crop_stays_whole() -> None:
    quiet = AugmentConfig(crop=13, flip=False, rotate=False)
    changed = augment(example(), quiet, np.random.default_rng(0))
    assert changed.size == (12, 13)


def test_a_crop_is_cut_around_a_pixel_of_the_field_of_view() -> None:
    rows, columns = np.mgrid[:60, :80]
    fov = (rows >= 20) & (rows < 40) & (columns >= 20) & (columns < 40)
    scene = Example(Sample("a", Path("a.png"), None), np.zeros((60, 80, 3), np.uint8), rows > 30, fov=fov)
    crops = [augment(scene, AugmentConfig(crop=9), np.random.default_rng(seed)).fov for seed in range(80)]
    assert all(crop is not None and crop[4, 4] for crop in crops)
    assert {bool(crop.all()) for crop in crops if crop is not None} == {True, False}, "its borders are seen too"


def test_a_crop_comes_from_anywhere_where_the_field_of_view_is_empty() -> None:
    nowhere = np.zeros((30, 30), bool)
    values = np.repeat(np.arange(30, dtype=np.uint8)[None, :, None], 30, 0).repeat(3, 2)
    scene = Example(Sample("a", Path("a.png"), None), values, None, fov=nowhere)
    config = AugmentConfig(crop=5, flip=False, rotate=False, brightness=0, contrast=0)
    left = {int(augment(scene, config, np.random.default_rng(seed)).image[0, 0, 0]) for seed in range(300)}
    assert left == set(range(26))


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_a_pixel_is_found_by_its_number_as_among_all_of_them(height, width, data):
    pixels = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    plane = np.array(pixels, bool).reshape(height, width)
    listed = [divmod(int(place), width) for place in np.flatnonzero(plane)]
    assert [nth_pixel(plane, number) for number in range(len(listed))] == listed
