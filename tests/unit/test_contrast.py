"""What local contrast sees, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from vesselbench.contrast import local_contrast, planes_of
from vesselbench.testing import tiny_examples

SIDE = 9


@pytest.fixture(scope="module")
def image():
    (example,) = tiny_examples(1, (96, 96))
    return example.image


def test_uneven_light_changes_little(image):
    ramp = np.linspace(0, 60, 96).astype(np.float32)[None, :, None]
    lit, plain = (image * 0.5 + ramp).astype(np.uint8), (image * 0.5).astype(np.uint8)
    assert np.abs(planes_of(lit) - planes_of(plain)).mean() > 0.2 * 127.5
    change = local_contrast(planes_of(lit), None, SIDE) - local_contrast(planes_of(plain), None, SIDE)
    assert np.abs(change).mean() < 0.2


def test_mean_and_deviation_are_those_of_the_square_around_a_pixel(image):
    planes = planes_of(image)
    square = planes[:, 40 : 40 + SIDE, 50 : 50 + SIDE].reshape(3, -1)
    wanted = (planes[:, 44, 54] - square.mean(1)) / np.maximum(square.std(1), 2.0)
    assert local_contrast(planes, None, SIDE)[:, 44, 54] == pytest.approx(wanted, abs=1e-3)


def test_pixels_outside_the_field_of_view_change_nothing_inside(image):
    fov = np.zeros((96, 96), bool)
    fov[:, :60] = True
    other = image.copy()
    other[:, 60:] = 255
    first, second = (local_contrast(planes_of(one), fov, SIDE) for one in (image, other))
    assert first[:, :, :60] == pytest.approx(second[:, :, :60], abs=1e-4)
    assert not first[:, :, 60:].any()


def test_a_full_field_of_view_is_none_and_the_result_can_be_written_in_place(image):
    planes = planes_of(image)
    wanted = local_contrast(planes, None, SIDE)
    out = np.empty_like(planes)
    assert local_contrast(planes, np.ones((96, 96), bool), SIDE, out=out) is out
    assert np.array_equal(out, wanted)


def test_a_flat_image_stays_flat():
    flat = local_contrast(planes_of(np.full((96, 96, 3), 90, np.uint8)), None, SIDE)
    assert np.abs(flat).max() < 1e-3
