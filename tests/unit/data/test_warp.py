from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import label

from vesselbench.data.warp import Warp

SIDE = 192


def vessel(width: float, angle: float) -> np.ndarray:
    """A straight line through the middle of a square, `angle` radians counter-clockwise from the x axis."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2
    return (np.abs(x * math.sin(angle) + y * math.cos(angle)) <= width / 2) & (np.hypot(x, y) < 0.35 * SIDE)


def cases(count: int = 60):
    random = np.random.default_rng(0)
    for _ in range(count):
        yield random.uniform(0, math.pi), math.radians(random.uniform(-15, 15)), random.uniform(0.8, 1.25)


def turned(plane: np.ndarray, angle: float, scale: float) -> np.ndarray:
    return Warp((SIDE, SIDE), (SIDE / 2, SIDE / 2), angle, scale)(plane)


@pytest.mark.parametrize(("width", "agreement"), [(2.0, 0.88), (3.0, 0.91)])
def test_a_thin_vessel_stays_whole_keeps_its_area_and_lies_where_it_is_drawn_anew(width, agreement):
    """Dice against the line drawn at the new angle and width; nearest neighbours reach 0.877 and 0.918 on average."""
    dices, areas = [], []
    inner = np.hypot(*(np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2)) < 0.25 * SIDE
    for angle, turn, scale in cases():
        mask = turned(vessel(width, angle), turn, scale)
        assert label(mask, np.ones((3, 3)))[1] == 1
        wanted = vessel(width * scale, angle + turn) & inner
        dices.append(2 * (mask & wanted).sum() / ((mask & inner).sum() + wanted.sum()))
        areas.append((mask & inner).sum() / wanted.sum())
    assert np.mean(dices) > agreement
    assert np.mean(areas) == pytest.approx(1, abs=0.03)


def test_no_turn_and_no_change_of_size_change_nothing_but_a_rounding():
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    same = Warp((20, 30), (20, 25), 0.0, 1.0)(image)
    assert np.abs(same.astype(int) - image[10:30, 10:40]).max() <= 1


def test_beyond_the_border_the_image_goes_on_mirrored_however_far():
    ramp = np.repeat(np.arange(10, dtype=np.uint8)[:, None], 10, axis=1)[..., None].repeat(3, axis=2)
    tall = Warp((40, 10), (5, 5), 0.0, 1.0)(ramp)[:, 5, 0]
    up, down = list(range(10)), list(range(9, -1, -1))
    assert tall.tolist() == [*range(5, 10), *down, *up, *down, *range(5)]


@pytest.mark.parametrize("seed", range(12))
def test_image_and_mask_together_are_what_they_are_one_after_the_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(0, 256, (60, 70, 3), dtype=np.uint8), rng.random((60, 70)) < 0.3
    warp = Warp((24, 32), (rng.uniform(0, 60), rng.uniform(0, 70)), rng.uniform(-1, 1), rng.uniform(0.7, 1.4))
    colours, covered = warp.both(image, mask)
    assert np.array_equal(colours, warp(image))
    assert np.array_equal(covered, warp(mask))
