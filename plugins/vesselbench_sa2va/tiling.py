"""InternVL's dynamic tiling and SAM 2's single image, from uint8 [H,W,3] arrays (PIL bicubic)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""ImageNet statistics of RGB in [0,1], for both encoders."""


def grid_of(width: int, height: int, most: int, tile: int) -> tuple[int, int]:
    """Columns and rows into which InternVL cuts an image of this size (InternVL 1.5, "dynamic resolution").

    Of all grids of 1 to `most` tiles in order of their tile count, the one of the nearest aspect ratio; of equally
    near ones a later grid is taken only if the image has more than half of that grid's pixels.
    """
    grids = {(i, j) for i in range(1, most + 1) for j in range(1, most + 1) if i * j <= most}
    best, best_distance = (1, 1), float("inf")
    for columns, rows in sorted(grids, key=lambda grid: (grid[0] * grid[1], grid)):
        distance = abs(width / height - columns / rows)
        if distance < best_distance:
            best, best_distance = (columns, rows), distance
        elif distance == best_distance and width * height > 0.5 * tile * tile * columns * rows:
            best = (columns, rows)
    return best


def cut_tiles(image: Pixels, most: int, tile: int) -> Pixels:
    """Tiles uint8 [T,tile,tile,3], row by row; the whole image, shrunk, comes last when there is more than one."""
    height, width = image.shape[:2]
    columns, rows = grid_of(width, height, most, tile)
    picture = Image.fromarray(image)
    whole = picture.resize((tile * columns, tile * rows), Image.Resampling.BICUBIC)
    tiles = [
        np.asarray(whole.crop((column * tile, row * tile, (column + 1) * tile, (row + 1) * tile)))
        for row in range(rows)
        for column in range(columns)
    ]
    if len(tiles) > 1:
        tiles.append(np.asarray(picture.resize((tile, tile), Image.Resampling.BICUBIC)))
    return np.stack(tiles)


@dataclass(frozen=True)
class Placement:
    """Where the resized image lies in SAM's square: its upper left (height, width) pixels of `side`."""

    height: int
    width: int
    side: int


def place(size: tuple[int, int], side: int, resize: Literal["pad", "squash"]) -> Placement:
    """pad keeps the aspect ratio and leaves the rest of the square empty; squash stretches to the whole square."""
    if resize == "squash":
        return Placement(side, side, side)
    scale = side / max(size)
    return Placement(max(1, round(size[0] * scale)), max(1, round(size[1] * scale)), side)


def fill_square(image: Pixels, placement: Placement) -> Pixels:
    """The image, resized, in SAM's square: uint8 [side,side,3]; empty pixels have the mean colour."""
    resized = Image.fromarray(image).resize((placement.width, placement.height), Image.Resampling.BICUBIC)
    square = np.empty((placement.side, placement.side, 3), np.uint8)
    square[:] = np.round(np.array(MEAN) * 255).astype(np.uint8)
    square[: placement.height, : placement.width] = np.asarray(resized)
    return square
