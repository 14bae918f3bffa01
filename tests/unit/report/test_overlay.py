"""Colours of the pictures, pixel by pixel, and that everybody can tell them apart."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vesselbench.report.overlay import (
    FALSE,
    FIELD,
    HIT,
    MISSED,
    SIDE,
    count_pixels,
    encode,
    plain_tile,
    reference_tile,
    verdict_tile,
)
from vesselbench.types import Example, Sample

GREY = (50, 50, 50)


def example(mask, fov=None):
    height, width = np.shape(mask)
    image = np.full((height, width, 3), 100, np.uint8)
    return Example(Sample("a", Path("a.png"), None), image, np.array(mask, bool), None if fov is None else fov)


def test_every_pixel_has_the_colour_of_its_case():
    picture = verdict_tile(example([[1, 1, 0, 0]]), np.array([[1, 0, 1, 0]], bool))
    assert [tuple(pixel) for pixel in picture[0]] == [HIT, MISSED, FALSE, GREY]


def test_outside_the_field_of_view_nothing_is_coloured_or_counted():
    fov = np.zeros((9, 9), bool)
    fov[1:8, 1:8] = True
    shown = example(np.ones((9, 9)), fov)
    predicted = np.zeros((9, 9), bool)
    predicted[4, :] = True
    picture = verdict_tile(shown, predicted)
    assert tuple(picture[4, 0]) == GREY
    assert tuple(picture[4, 1]) == FIELD
    assert tuple(picture[4, 4]) == HIT
    assert tuple(picture[3, 4]) == MISSED
    assert count_pixels(shown, predicted) == (7, 0, 42)


def test_the_plain_picture_is_the_image_itself_and_leaves_it_alone():
    shown = example(np.eye(4))
    picture = plain_tile(shown)
    assert (picture == shown.image).all()
    assert picture is not shown.image
    assert tuple(reference_tile(shown)[0, 0]) == HIT
    assert tuple(reference_tile(shown)[0, 1]) == GREY
    assert (shown.image == 100).all()


@given(st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1))
def test_counts_equal_the_coloured_pixels(reference_bits, predicted_bits):
    bits = [[int(digit) for digit in f"{number:016b}"] for number in (reference_bits, predicted_bits)]
    reference, predicted = (np.array(digits, bool).reshape(4, 4) for digits in bits)
    picture = verdict_tile(example(reference), predicted)
    coloured = tuple(int((picture == colour).all(axis=2).sum()) for colour in (HIT, FALSE, MISSED))
    assert coloured == count_pixels(example(reference), predicted)


def test_a_prediction_of_another_size_is_refused():
    with pytest.raises(ValueError, match="differ in size"):
        verdict_tile(example(np.eye(4)), np.zeros((4, 5), bool))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((960, 999), (461, 480)), ((2000, 100), (480, 24)), ((128, 128), (384, 384)), ((300, 480), (300, 480))],
)
def test_pictures_are_at_most_480_pixels_and_small_ones_grow_by_whole_numbers(size, expected):
    picture = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(encode(picture))) as image:
        assert image.size == (expected[1], expected[0])
        assert max(image.size) <= SIDE


def test_a_small_picture_keeps_its_colours_exactly():
    predicted = np.array([[1, 0, 1, 0]], bool)
    with Image.open(io.BytesIO(encode(verdict_tile(example([[1, 1, 0, 0]]), predicted)))) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert [tuple(pixel) for pixel in pixels[0, 60::120]] == [HIT, MISSED, FALSE, GREY]


# Machado, Oliveira & Fernandes 2009 (IEEE TVCG 15:1291), severity 1.0, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour, matrix):
    """CIE L*a*b* (D65) of an sRGB colour seen through `matrix`."""
    srgb = np.array(colour) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(matrix) @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_colours_stay_far_apart_for_every_eye(kind):
    seen = [lab(colour, BLINDNESS[kind]) for colour in (HIT, FALSE, MISSED, GREY)]
    for first, second in itertools.combinations(seen, 2):
        assert np.linalg.norm(first - second) > 25
