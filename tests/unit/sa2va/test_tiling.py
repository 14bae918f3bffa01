from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench_sa2va.tiling import cut_tiles, fill_square, grid_of, place

TABLE = Path(__file__).parents[3] / "../shared/parity/tiling.json"


def test_grids_and_tile_counts_equal_the_official_table() -> None:
    if not TABLE.is_file():
        pytest.skip("the table of official grids is not beside this repository")
    rows = json.loads(TABLE.read_text())
    for row in rows:
        columns, lines = grid_of(row["width"], row["height"], 12, 448)
        tiles = columns * lines + (columns * lines > 1)
        assert (columns, lines, tiles) == (row["cols"], row["rows"], row["tiles"]), row
    assert len(rows) >= 50


@pytest.mark.parametrize(
    ("size", "grid"), [((512, 512), (1, 1)), ((768, 584), (4, 3)), ((300, 900), (1, 3)), ((634, 634), (2, 2))]
)
def test_known_sizes_get_their_grid(size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert grid_of(*size, 12, 448) == grid


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 12))
def test_a_grid_never_has_more_tiles_than_allowed(width: int, height: int, most: int) -> None:
    columns, rows = grid_of(width, height, most, 448)
    assert 1 <= columns * rows <= most


def test_tiles_run_row_by_row_and_the_thumbnail_is_last() -> None:
    image = np.zeros((56, 112, 3), np.uint8)
    image[:, 56:] = 200
    tiles = cut_tiles(image, 2, 56)
    assert tiles.shape == (3, 56, 56, 3)
    assert tiles[0].max() == 0
    assert tiles[1].min() == 200
    assert 80 < tiles[2].mean() < 120


def test_one_tile_has_no_thumbnail() -> None:
    assert cut_tiles(np.zeros((100, 90, 3), np.uint8), 1, 56).shape == (1, 56, 56, 3)


def test_padding_keeps_the_aspect_ratio_and_fills_with_the_mean_colour() -> None:
    where = place((50, 100), 64, "pad")
    assert (where.height, where.width) == (32, 64)
    square = fill_square(np.full((50, 100, 3), 7, np.uint8), where)
    assert (square[:32] == 7).all()
    assert (square[32:] == [124, 116, 104]).all()


def test_squashing_fills_the_whole_square() -> None:
    assert place((50, 100), 64, "squash") == place((64, 64), 64, "pad")
