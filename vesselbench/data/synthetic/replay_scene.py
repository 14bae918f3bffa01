"""Angiography frames whose masks are outlines drawn by hand: one vessel tree per sequence, seen through a moving
window, and separate stretches of vessel beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import binary_fill_holes, gaussian_filter, label
from skimage.measure import find_contours

from vesselbench.data.geometry import area, first_crossing
from vesselbench.data.masks import decode
from vesselbench.data.synthetic.drawing import Style, draw_image, make_style
from vesselbench.data.synthetic.tree import Branch, grow_tree, outline
from vesselbench.types import BoolMask, Polygons

SIDE = 512
"""Side of a frame in pixels."""
_MOTION = 24  # pixels that the window may move either way
_CANVAS = SIDE + 2 * _MOTION
_WIDTHS = (3.5, 15.0)
_TRIES = 400
_CHINK = 60  # pixels of background that a fork may enclose
_GAP = 3  # pixels between separate outlines


@dataclass(frozen=True)
class Scene:
    """What the frames of one sequence share. background: float32 [SIDE,SIDE]; tree: bool [_CANVAS,_CANVAS]."""

    style: Style
    background: npt.NDArray[np.float32]
    tree: BoolMask


@dataclass(frozen=True)
class Frame:
    """pixels: uint8 [SIDE,SIDE]; outlines: flat x, y in pixels, inside the image."""

    pixels: npt.NDArray[np.uint8]
    outlines: tuple[tuple[float, ...], ...]


def make_scene(rng: np.random.Generator) -> Scene:
    """A sequence: its background, and a tree without loops, so that one outline can be its whole mask."""
    style = make_style(rng, (0.35, 0.5), 0.02, (1, 1))
    half = Image.fromarray(draw_image(rng, SIDE // 2, style, [], _WIDTHS[1] / 2, 2))  # it is smooth: noise comes later
    background = np.asarray(half.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float32)
    return Scene(style, background, _without_loops(grow_tree(rng, _CANVAS, _WIDTHS)))


def draw_frame(rng: np.random.Generator, scene: Scene, outlines: int, overlapping: bool) -> Frame:
    """A frame with exactly so many outlines; they are apart, but for the last of an `overlapping` frame."""
    dx, dy = rng.integers(0, 2 * _MOTION + 1, 2)
    parts = [_trace(scene.tree[dy : dy + SIDE, dx : dx + SIDE])]
    taken = _filled(parts[0])
    covered = taken.copy()
    while len(parts) < outlines:
        crossing = overlapping and len(parts) == outlines - 1
        part, mask = _stretch(rng, taken, covered, crossing, short=outlines > 6)
        parts.append(part)
        covered |= mask
        taken |= gaussian_filter(mask.astype(np.float32), _GAP) > 0.01
    shadow = gaussian_filter(covered.astype(np.float32), 0.8)
    noise = gaussian_filter(rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32), 0.6) * 255 * scene.style.noise
    pixels = scene.background * (1 - scene.style.contrast * shadow) + noise
    return Frame(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8), tuple(parts))


def _without_loops(branches: list[Branch]) -> BoolMask:
    """The branches in the order of their growth, but for those that would close a loop or stand alone."""
    mask = np.zeros((_CANVAS, _CANVAS), np.bool_)
    for branch in branches:
        inside = (branch.points > 0).all(axis=1) & (branch.points < _CANVAS).all(axis=1)
        if not inside.any():
            continue
        more = mask | decode((Polygons((outline(branch),)),), mask.shape, "tree")
        whole = binary_fill_holes(more)
        if label(whole)[1] == 1 and int((whole & ~more).sum()) < _CHINK:
            mask = whole
    return mask


def _trace(mask: BoolMask) -> tuple[float, ...]:
    """The outline of the largest connected part, a point every 4 pixels unless it would cross itself."""
    labelled, _ = label(mask)
    sizes = np.bincount(labelled.ravel())
    sizes[0] = 0
    padded = np.pad(labelled == sizes.argmax(), 1).astype(np.float32)
    ring = max(find_contours(padded, 0.5), key=len)[:-1, ::-1] - 0.5
    for step in (4, 2, 1):
        points = np.round(np.clip(ring[::step], 0, SIDE), 2)
        if first_crossing(points) is None:
            break
    return tuple(float(value) for value in points.ravel())


def _stretch(
    rng: np.random.Generator, taken: BoolMask, covered: BoolMask, crossing: bool, short: bool
) -> tuple[tuple[float, ...], BoolMask]:
    """A bent piece of vessel in free space, or, when `crossing`, one that overlaps what is there already."""
    for _ in range(_TRIES):
        length, width = rng.uniform(20, 50 if short else 120), rng.uniform(4, 9)
        along = np.linspace(0, 1, 12)
        heading = rng.uniform(0, 2 * np.pi) + rng.uniform(-0.8, 0.8) * along
        steps = np.stack([np.cos(heading), np.sin(heading)], axis=1) * length / len(along)
        points = rng.uniform(15, SIDE - 15, 2) + np.cumsum(steps, axis=0)
        part = outline(Branch(points, width * (1 - 0.3 * along)))
        corners = np.array(part).reshape(-1, 2)
        if corners.min() < 1 or corners.max() > SIDE - 1 or first_crossing(corners) is not None:
            continue
        mask = _filled(part)
        common = int((mask & covered).sum())
        if (common > 20) if crossing else not (mask & taken).any() and area(corners) > 40:
            return part, mask
    raise RuntimeError("no room for another piece of vessel")


def _filled(part: tuple[float, ...]) -> BoolMask:
    return decode((Polygons((part,)),), (SIDE, SIDE), "replay")
