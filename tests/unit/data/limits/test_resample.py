"""Resizing is torch's, and no grid can draw better than the fit says it can: held against brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from vesselbench.data.limits.resample import (
    best_cut,
    best_fit,
    bilinear,
    fit_of_target,
    from_input,
    from_output,
    nearest,
)
from vesselbench.grids import Grids, whole


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * int((a & b).sum()) / int(a.sum() + b.sum())


@given(source=st.integers(1, 40), target=st.integers(1, 60))
def test_the_matrix_of_bilinear_resizing_is_torchs(source: int, target: int) -> None:
    values = torch.linspace(-1, 1, source).square()[None, None]
    theirs = F.interpolate(values, target, mode="linear", align_corners=False)[0, 0].numpy()
    assert bilinear(source, target) @ values[0, 0].numpy() == pytest.approx(theirs, abs=1e-4)


@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), new=st.tuples(st.integers(1, 30), st.integers(1, 30)))
def test_nearest_resizing_is_torchs(size: tuple[int, int], new: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(size) < 0.5
    theirs = F.interpolate(torch.from_numpy(mask)[None, None].float(), new, mode="nearest")[0, 0].bool().numpy()
    assert np.array_equal(nearest(mask, new), theirs)


def by_hand(logits: np.ndarray, grids: Grids, size: tuple[int, int]) -> np.ndarray:
    """Grid to canvas, cut, canvas to image: pixel by pixel."""

    def at(values: np.ndarray, row: float, column: float) -> float:
        total = 0.0
        row, column = max(row, 0.0), max(column, 0.0)
        for i, j in product((0, 1), (0, 1)):
            y, x = min(int(row) + i, values.shape[0] - 1), min(int(column) + j, values.shape[1] - 1)
            total += values[y, x] * (1 - abs(row - int(row) - i)) * (1 - abs(column - int(column) - j))
        return total

    def resized(values: np.ndarray, height: int, width: int) -> np.ndarray:
        steps = values.shape[0] / height, values.shape[1] / width
        return np.array(
            [
                [at(values, (i + 0.5) * steps[0] - 0.5, (j + 0.5) * steps[1] - 0.5) for j in range(width)]
                for i in range(height)
            ]
        )

    canvas = resized(logits, *grids.canvas)[: grids.input[0], : grids.input[1]]
    return resized(canvas, *size)


GRIDS = Grids((12, 16), (16, 16), (4, 4), (3, 4), "pad")


def test_the_road_back_is_that_of_a_loop_over_pixels() -> None:
    logits = np.random.default_rng(1).standard_normal((4, 4)).astype(np.float32)
    assert from_output(GRIDS, (9, 12))(logits) == pytest.approx(by_hand(logits, GRIDS, (9, 12)), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_of_a_shrunk_target_is_that_of_a_loop_over_pixels(seed: int) -> None:
    mask = np.random.default_rng(seed).random((9, 12)) < 0.3
    logits = np.full((4, 4), -1.0)
    for i, j in product(range(3), range(4)):
        logits[i, j] = 1.0 if mask[i * 9 // 3, j * 12 // 4] else -1.0
    logits[3] = logits[2]
    expected = by_hand(logits, GRIDS, (9, 12))
    found = fit_of_target(mask, GRIDS, from_output(GRIDS, (9, 12)))
    sure = np.abs(expected) > 1e-5
    assert np.array_equal(found[sure], expected[sure] > 0)


def strips(size: int) -> list[np.ndarray]:
    """Rows, columns, corners and diagonals."""
    rows, columns = np.indices((size, size))
    return [
        rows == 1,
        (columns >= 1) & (columns <= 2),
        rows == columns,
        rows + columns < 3,
        (rows >= 2) & (columns >= 1),
        abs(rows - columns) <= 1,
    ]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("size", [4, 5, 8])
def test_the_best_fit_is_the_best_of_all_drawings(number: int, size: int) -> None:
    mask = strips(size)[number]
    road = from_output(Grids((size, size), (size, size), (2, 2)), (size, size))
    levels = np.array([-4, -2, -1, -0.5, -0.25, 0, 0.25, 0.5, 1, 2, 4], np.float32)
    drawings = (road(np.array(values, np.float32).reshape(2, 2)) > 0 for values in product(levels, repeat=4))
    best = max(dice(drawing, mask) for drawing in drawings if drawing.any())
    fitted = dice(best_fit(mask, road), mask)
    assert best - 0.05 <= fitted <= best + 0.03, (best, fitted)


@given(st.integers(0, 10_000))
def test_the_best_cut_is_that_of_trying_every_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, mask = rng.integers(0, 6, (5, 6)).astype(np.float32), rng.random((5, 6)) < 0.4
    mask[0, 0] = True
    best = max(dice(values >= cut, mask) for cut in np.unique(values))
    assert dice(values >= best_cut(values, mask), mask) == pytest.approx(best)


def test_a_grid_as_fine_as_the_image_draws_everything() -> None:
    mask = np.random.default_rng(0).random((20, 24)) < 0.5
    assert np.array_equal(best_fit(mask, from_output(whole((20, 24)), (20, 24))), mask)
    larger = Grids((40, 48), (48, 48), (48, 48))
    assert np.array_equal(best_fit(mask, from_input(larger, (20, 24))), mask)


def test_a_coarser_grid_draws_a_thin_vessel_worse() -> None:
    mask = np.zeros((64, 64), bool)
    mask[np.arange(64), np.arange(64)] = True
    found = [dice(best_fit(mask, from_output(Grids((64, 64), (64, 64), (n, n)), (64, 64))), mask) for n in (48, 24, 12)]
    assert found[0] > found[1] > found[2] > 0


@pytest.mark.parametrize("value", [False, True])
def test_an_empty_or_full_mask_loses_nothing(value: bool) -> None:
    mask = np.full((16, 16), value)
    assert np.array_equal(best_fit(mask, from_output(Grids((16, 16), (16, 16), (2, 2)), (16, 16))), mask)


@pytest.mark.parametrize(
    "sizes",
    [((0, 4), (4, 4), (2, 2), None), ((8, 4), (4, 4), (2, 2), None), ((4, 4), (4, 4), (2, 2), (3, 2))],
)
def test_grids_that_do_not_fit_into_each_other_are_refused(sizes: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match=r"below 1|larger than"):
        Grids(*sizes)
