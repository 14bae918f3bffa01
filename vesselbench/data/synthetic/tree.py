"""Branching vessel trees as curves with a width, and their outlines."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
_STEP = 2.0  # pixels between points of a centre line: outlines stay faithful and files small
_DEEPEST = 7
_TRIES = 50
_TIGHTEST = 1.5  # smallest radius of curvature in vessel widths: below 0.5 an outline would cross itself


@dataclass(frozen=True)
class Branch:
    """A stretch between two forks. points: (x, y) [N,2] in pixels; widths: [N] in pixels."""

    points: Points
    widths: Points


def grow_tree(rng: np.random.Generator, size: int, widths: tuple[float, float]) -> list[Branch]:
    """A tree that enters a square image of side `size` from its border and forks until it is thinner than widths[0].

    The trunk is 0.6 to 1 times widths[1] wide; the children of a fork obey Murray's law, w**3 = a**3 + b**3
    (C. D. Murray, The physiological principle of minimum work, PNAS 1926). What leaves the image ends there. A tree
    that shows less vessel than the image is wide is drawn anew, at most 50 times.
    """
    tree: list[Branch] = []
    for _ in range(_TRIES):
        tree = _grow_once(rng, size, widths)
        if _visible_length(tree, size) >= size:
            break
    return tree


def _visible_length(tree: list[Branch], size: int) -> float:
    points = np.concatenate([branch.points for branch in tree])
    return _STEP * float(((points >= 0) & (points < size)).all(axis=1).sum())


def _grow_once(rng: np.random.Generator, size: int, widths: tuple[float, float]) -> list[Branch]:
    angle = rng.uniform(0, 2 * math.pi)
    start = size / 2 + size * 0.5 * np.clip(1.42 * np.array([math.cos(angle), math.sin(angle)]), -1, 1)
    aim = size / 2 + rng.uniform(-0.2, 0.2, 2) * size
    heading = math.atan2(aim[1] - start[1], aim[0] - start[0])
    trunk = widths[1] * rng.uniform(0.6, 1.0)
    branches: list[Branch] = []
    waiting = [(start, heading, trunk, 0)]
    while waiting:
        start, heading, width, depth = waiting.pop()
        branch, heading = _walk(rng, start, heading, width, size, depth)
        branches.append(branch)
        end, width = branch.points[-1], float(branch.widths[-1])
        if depth == _DEEPEST or not _inside(end, size, width):
            continue
        ratio = rng.uniform(0.55, 1.0)
        larger = width / (1 + ratio**3) ** (1 / 3)
        side = rng.choice([-1.0, 1.0])
        for child, turn in ((larger, rng.uniform(0.15, 0.5)), (ratio * larger, -rng.uniform(0.5, 1.0))):
            if child >= widths[0]:
                waiting.append((end, heading + side * turn, child, depth + 1))
    return branches


def outline(branch: Branch) -> tuple[float, ...]:
    """The closed outline ``x1, y1, x2, y2, ...`` of a branch with round ends, to a hundredth of a pixel."""
    tangents = np.gradient(branch.points, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    normals = np.stack([-tangents[:, 1], tangents[:, 0]], axis=1) * branch.widths[:, None] / 2
    ring = np.concatenate(
        [
            branch.points + normals,
            _cap(branch.points[-1], normals[-1]),
            (branch.points - normals)[::-1],
            _cap(branch.points[0], -normals[0]),
        ]
    )
    return tuple(float(value) for value in np.round(ring, 2).ravel())


def dense(branches: list[Branch], spacing: float = 0.5) -> tuple[Points, Points]:
    """Centre points [M,2] of all branches, `spacing` pixels apart, and the width [M] at each."""
    points, widths = [], []
    for branch in branches:
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(branch.points, axis=0), axis=1))])
        at = np.arange(0, along[-1] + spacing, spacing)
        points.append(np.stack([np.interp(at, along, branch.points[:, axis]) for axis in (0, 1)], axis=1))
        widths.append(np.interp(at, along, branch.widths))
    return np.concatenate(points), np.concatenate(widths)


def _walk(
    rng: np.random.Generator, start: Points, heading: float, width: float, size: int, depth: int
) -> tuple[Branch, float]:
    """One branch, a curve whose curvature wanders, and the heading at its end."""
    steps = max(3, int(rng.uniform(0.14, 0.32) * size * 0.92**depth / _STEP))
    sharpest = min(1 / (_TIGHTEST * width), 0.12)
    curvature = 0.0
    points, widths = [start], [width]
    for _ in range(steps):
        curvature = float(np.clip(0.75 * curvature + rng.normal(0, 0.025), -sharpest, sharpest))
        heading += curvature * _STEP
        points.append(points[-1] + _STEP * np.array([math.cos(heading), math.sin(heading)]))
        width *= 1 - 0.12 / steps
        widths.append(width)
        if len(points) > 3 and not _inside(points[-1], size, width):
            break
    return Branch(np.array(points), np.array(widths)), heading


def _inside(point: Points, size: int, margin: float) -> bool:
    return bool((point > -margin).all() and (point < size + margin).all())


def _cap(centre: Points, normal: Points) -> Points:
    """Points of the half circle that leads from centre + normal forwards to centre - normal."""
    angles = -np.linspace(0, np.pi, 5)[1:-1]
    turned = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    x = turned[:, 0] * normal[0] - turned[:, 1] * normal[1]
    y = turned[:, 1] * normal[0] + turned[:, 0] * normal[1]
    return np.asarray(centre + np.stack([x, y], axis=1))
