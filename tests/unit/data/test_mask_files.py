"""Mask images of every kind that tools write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesselbench.data.mask_files import colour_value, read_mask_file, spelt, values_in
from vesselbench.errors import UserError
from vesselbench.types import MaskFile

SIZE = (6, 8)
TRUTH = np.random.default_rng(0).random(SIZE) < 0.4


def read(image: Image.Image, tmp_path: Path, name: str = "mask.png", foreground: tuple[int, ...] | None = None):
    image.save(tmp_path / name)
    return read_mask_file(MaskFile(tmp_path / name, foreground), SIZE)


def palette_image(colours: list[int]) -> Image.Image:
    image = Image.fromarray(TRUTH.astype(np.uint8), mode=None).convert("P")
    image.putdata(TRUTH.astype(np.uint8).ravel().tolist())
    image.putpalette(colours)
    return image


@pytest.mark.parametrize("values", [(0, 255), (0, 1), (3, 7)])
def test_the_larger_of_two_grey_values_is_foreground(tmp_path: Path, values: tuple[int, int]) -> None:
    pixels = np.where(TRUTH, values[1], values[0]).astype(np.uint8)
    assert np.array_equal(read(Image.fromarray(pixels), tmp_path), TRUTH)


def test_one_bit_masks_are_read(tmp_path: Path) -> None:
    assert np.array_equal(read(Image.fromarray(TRUTH), tmp_path), TRUTH)


@pytest.mark.parametrize(("foreground", "expected"), [((255,), TRUTH), ((0,), ~TRUTH), ((1,), TRUTH & False)])
def test_the_values_of_a_one_bit_mask_are_0_and_255(tmp_path: Path, foreground, expected) -> None:
    assert np.array_equal(read(Image.fromarray(TRUTH), tmp_path, foreground=foreground), expected)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_float_masks_with_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    pixels = TRUTH.astype(np.float32)
    assert np.array_equal(read(Image.fromarray(pixels), tmp_path, "mask.tif"), TRUTH)
    pixels[0, 0] = value
    for foreground in (None, (1,)):
        with pytest.raises(UserError, match="not finite"):
            read(Image.fromarray(pixels), tmp_path, "mask.tif", foreground)


def test_sixteen_bit_masks_are_read(tmp_path: Path) -> None:
    assert np.array_equal(read(Image.fromarray(TRUTH.astype(np.uint16) * 60000), tmp_path), TRUTH)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_equal_channels_count_as_grey(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(TRUTH.astype(np.uint8) * 255).convert(mode)
    assert np.array_equal(read(image, tmp_path), TRUTH)


def test_coloured_palettes_count_by_index(tmp_path: Path) -> None:
    assert np.array_equal(read(palette_image([200, 0, 0, 0, 90, 0]), tmp_path), TRUTH)


def test_grey_palettes_count_by_grey_level_even_when_reversed(tmp_path: Path) -> None:
    assert np.array_equal(read(palette_image([255, 255, 255, 0, 0, 0]), tmp_path), ~TRUTH)


def test_gif_masks_are_read(tmp_path: Path) -> None:
    assert np.array_equal(read(palette_image([0, 0, 0, 255, 255, 255]), tmp_path, "mask.gif"), TRUTH)


def test_an_all_zero_mask_is_empty_and_a_constant_one_is_full(tmp_path: Path) -> None:
    assert not read(Image.new("L", SIZE[::-1], 0), tmp_path).any()
    assert read(Image.new("L", SIZE[::-1], 255), tmp_path).all()


def test_more_than_two_values_need_a_choice_and_are_shown(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(SIZE) % 3
    with pytest.raises(UserError, match="3 values: 0, 1, 2") as caught:
        read(Image.fromarray(pixels), tmp_path)
    assert "foreground" in caught.value.hint


def test_chosen_values_are_foreground(tmp_path: Path) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(SIZE) % 4
    assert np.array_equal(read(Image.fromarray(pixels), tmp_path, foreground=(1, 3)), pixels % 2 == 1)


def test_colours_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="coloured"):
        read(Image.new("RGB", SIZE[::-1], (255, 0, 0)), tmp_path)


def test_a_varying_alpha_channel_is_refused(tmp_path: Path) -> None:
    image = Image.new("RGBA", SIZE[::-1], (255, 255, 255, 255))
    image.putpixel((0, 0), (255, 255, 255, 0))
    with pytest.raises(UserError, match="alpha"):
        read(image, tmp_path)


def test_another_size_than_the_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="5 x 8, its image 6 x 8"):
        read(Image.new("L", (8, 5)), tmp_path)


RED, BLUE = colour_value("#ff0000"), colour_value("#0000ff")


def coloured(mode: str = "RGB") -> Image.Image:
    pixels = np.zeros((*SIZE, 3), dtype=np.uint8)
    pixels[TRUTH] = (255, 0, 0)
    pixels[0, 0] = (0, 0, 255)
    image = Image.fromarray(pixels)
    return image.quantize(4) if mode == "P" else image.convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_named_colours_are_foreground(tmp_path: Path, mode: str) -> None:
    expected = TRUTH.copy()
    expected[0, 0] = False
    assert np.array_equal(read(coloured(mode), tmp_path, foreground=(RED,)), expected)
    expected[0, 0] = True
    assert np.array_equal(read(coloured(mode), tmp_path, foreground=(RED, BLUE)), expected)


def test_a_colour_may_name_a_grey_level(tmp_path: Path) -> None:
    image = Image.fromarray(TRUTH.astype(np.uint8) * 255)
    assert np.array_equal(read(image, tmp_path, foreground=(colour_value("#ffffff"),)), TRUTH)


def test_numbers_do_not_name_colours(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"coloured \(RGB\): #000000, #0000ff, #ff0000"):
        read(coloured(), tmp_path, foreground=(255,))


def test_the_values_of_a_mask_are_those_that_can_be_named(tmp_path: Path) -> None:
    coloured().save(tmp_path / "c.png")
    assert values_in(MaskFile(tmp_path / "c.png")) == {float(colour_value("#000000")), float(RED), float(BLUE)}
    Image.fromarray(TRUTH.astype(np.uint8) * 7).save(tmp_path / "g.png")
    assert values_in(MaskFile(tmp_path / "g.png")) == {0.0, 7.0}


def test_values_are_spelt_as_they_were_named() -> None:
    assert (spelt(float(RED)), spelt(7.0)) == ("#ff0000", "7")
    for spelling in ("ff0000", "#f00", "#gg0000", "#ff00000"):
        with pytest.raises(ValueError, match="no colour"):
            colour_value(spelling)
