"""Synthetic angiograms: vessel trees in front of an uneven, textured background with things that are no vessels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from vesselbench.data.synthetic.tree import Branch, dense

Plane = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Style:
    """What the images of one patient share. Grey values are shares of the full range."""

    level: float
    slope: tuple[float, float]
    """Rise of the background over the image, along x and y."""
    texture: float
    contrast: float
    """Share of the light that the widest vessel takes away."""
    noise: float
    trees: int
    catheter: bool


def make_style(rng: np.random.Generator, contrast: tuple[float, float], noise: float, trees: tuple[int, int]) -> Style:
    """A patient's style; `contrast` and `trees` are ranges, both ends included."""
    angle = rng.uniform(0, 2 * np.pi)
    steepness = rng.uniform(0.15, 0.3)
    return Style(
        level=rng.uniform(0.55, 0.7),
        slope=(float(np.cos(angle) * steepness), float(np.sin(angle) * steepness)),
        texture=rng.uniform(0.02, 0.05),
        contrast=rng.uniform(*contrast),
        noise=noise * rng.uniform(0.8, 1.2),
        trees=int(rng.integers(trees[0], trees[1] + 1)),
        catheter=bool(rng.random() < 0.5),
    )


def draw_image(
    rng: np.random.Generator, size: int, style: Style, trees: list[list[Branch]], widest: float, clutter: int
) -> npt.NDArray[np.uint8]:
    """The image, uint8 [size,size]: vessels dark, crossings darker, `clutter` dark shapes that are no vessels."""
    light = _background(rng, size, style)
    for _ in range(clutter):
        light *= 1 - _blob(rng, size)
    light *= (1 - _rib(rng, size)) * (1 - _spine(rng, size))
    if style.catheter:
        light *= 1 - _band(rng, size, width=1.8 * widest, softness=1.0, depth=0.7 * style.contrast)
    for branches in trees:
        light *= 1 - style.contrast * opacity(branches, size, widest)
    noise = gaussian_filter(rng.normal(0, 1, (size, size)), 0.6)
    light += style.noise * noise / noise.std()
    return np.rint(np.clip(light, 0, 1) * 255).astype(np.uint8)


def coverage(branches: list[Branch], size: int) -> tuple[Plane, Plane, Plane]:
    """Per pixel [size,size]: the share covered by the tree (0..1), the distance to the nearest centre line, its width.

    Coverage falls from 1 to 0 over one pixel around the distance width / 2, measured at the pixel's centre.
    """
    points, widths = dense(branches)
    centres = np.arange(size) + 0.5
    pixels = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    distance, nearest = cKDTree(points).query(pixels)
    width = widths[nearest]
    covered = np.clip(width / 2 - distance + 0.5, 0, 1)
    return covered.reshape(size, size), distance.reshape(size, size), width.reshape(size, size)


def opacity(branches: list[Branch], size: int, widest: float) -> Plane:
    """Share of the contrast taken per pixel [size,size]: more in the middle of a vessel and in wide ones."""
    covered, distance, width = coverage(branches, size)
    chord = np.sqrt(np.clip(1 - (2 * distance / width) ** 2, 0, 1))
    share: Plane = covered * (0.65 + 0.35 * chord) * (0.6 + 0.4 * np.sqrt(np.clip(width / widest, 0, 1)))
    return share


def _grid(size: int) -> tuple[Plane, Plane]:
    axis = (np.arange(size) + 0.5) / size - 0.5
    x, y = np.meshgrid(axis, axis)
    return x, y


def _background(rng: np.random.Generator, size: int, style: Style) -> Plane:
    x, y = _grid(size)
    light = style.level + style.slope[0] * x + style.slope[1] * y - 0.35 * (x**2 + y**2)
    for scale, share in ((size / 6, 1.6), (size / 20, 1.0), (1.5, 0.4)):
        texture = gaussian_filter(rng.normal(0, 1, (size, size)), scale, mode="wrap")
        light += style.texture * share * texture / texture.std()
    return light


def _blob(rng: np.random.Generator, size: int) -> Plane:
    x, y = _grid(size)
    angle = rng.uniform(0, np.pi)
    centre = rng.uniform(-0.45, 0.45, 2)
    along = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
    across = -(x - centre[0]) * np.sin(angle) + (y - centre[1]) * np.cos(angle)
    radii = rng.uniform(0.05, 0.14, 2)
    inside = 1 - np.sqrt((along / radii[0]) ** 2 + (across / radii[1]) ** 2)
    dark: Plane = rng.uniform(0.1, 0.3) / (1 + np.exp(-inside * rng.uniform(4, 12)))
    return dark


def _rib(rng: np.random.Generator, size: int) -> Plane:
    return _band(rng, size, width=rng.uniform(0.1, 0.18) * size, softness=2.5, depth=rng.uniform(0.08, 0.18))


def _spine(rng: np.random.Generator, size: int) -> Plane:
    x, _ = _grid(size)
    edge = rng.uniform(-0.35, 0.35)
    dark: Plane = rng.uniform(0.08, 0.2) / (1 + np.exp(-(x - edge) * size / 1.5 * rng.choice([-1.0, 1.0])))
    return dark


def _band(rng: np.random.Generator, size: int, width: float, softness: float, depth: float) -> Plane:
    """A bent dark band right across the image. width, softness: pixels."""
    x, y = _grid(size)
    angle, bend, shift = rng.uniform(0, np.pi), rng.uniform(-0.8, 0.8), rng.uniform(-0.3, 0.3)
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    distance = np.abs(across - bend * along**2 - shift) * size
    with np.errstate(over="ignore"):  # far away the exponential is infinite and the band's share rightly 0
        dark: Plane = depth / (1 + np.exp((distance - width / 2) / softness))
    return dark
