"""Vessel trees: widths by Murray's law, outlines that say what the centre lines and widths say."""

from __future__ import annotations

import numpy as np
import pytest

from vesselbench.data.masks import decode
from vesselbench.data.synthetic.drawing import coverage
from vesselbench.data.synthetic.tree import Branch, grow_tree, outline
from vesselbench.types import Polygons

SIZE = 128
TREES = [grow_tree(np.random.default_rng(seed), SIZE, (2.5, 8.0)) for seed in range(12)]


def rasterised(tree: list[Branch]) -> np.ndarray:
    return decode((Polygons(tuple(outline(branch) for branch in tree)),), (SIZE, SIZE), "tree")


def test_a_tree_follows_from_its_random_numbers() -> None:
    again = grow_tree(np.random.default_rng(0), SIZE, (2.5, 8.0))
    assert [outline(branch) for branch in again] == [outline(branch) for branch in TREES[0]]
    assert outline(TREES[0][0]) != outline(TREES[1][0])


def test_branches_start_no_thinner_and_no_wider_than_asked() -> None:
    starts = [float(branch.widths[0]) for tree in TREES for branch in tree]
    assert min(starts) >= 2.5
    assert max(starts) <= 8.0


def test_forks_obey_murrays_law() -> None:
    forks = 0
    for tree in TREES:
        for parent in tree:
            children = [branch for branch in tree if np.array_equal(branch.points[0], parent.points[-1])]
            if len(children) == 2:
                forks += 1
                cubes = sum(float(child.widths[0]) ** 3 for child in children)
                assert cubes == pytest.approx(float(parent.widths[-1]) ** 3)
    assert forks >= 12


def test_every_tree_shows_as_much_vessel_as_the_image_is_wide() -> None:
    assert min(rasterised(tree).sum() for tree in TREES) >= 2.0 * SIZE


def test_outlines_are_faithful_to_centre_lines_and_widths() -> None:
    for tree in TREES:
        drawn, truth = rasterised(tree), coverage(tree, SIZE)[0] >= 0.5
        dice = 2 * (drawn & truth).sum() / (drawn.sum() + truth.sum())
        assert dice > 0.95


def test_an_outline_has_the_width_of_its_branch() -> None:
    across = np.stack([np.arange(20.0, 101.0, 2.0), np.full(41, 64.0)], axis=1)
    for width in (2.0, 4.0, 7.0):
        mask = rasterised([Branch(across, np.full(41, width))])
        assert mask[:, 40:80].sum(axis=0).tolist() == pytest.approx([width] * 40, abs=1)
        assert mask[:, 40:80].sum() == pytest.approx(width * 40, rel=0.03)


def test_the_ends_of_an_outline_are_round() -> None:
    across = np.stack([np.arange(20.0, 101.0, 2.0), np.full(41, 64.0)], axis=1)
    mask = rasterised([Branch(across, np.full(41, 10.0))])
    assert np.flatnonzero(mask[64])[[0, -1]].tolist() == pytest.approx([15, 104], abs=1)
    assert mask[:, 102].sum() < mask[:, 98].sum() < 12
    assert mask.sum() == pytest.approx(80 * 10 + np.pi * 25, rel=0.03)
