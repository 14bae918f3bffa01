"""Shapes of one sample: copies and overlaps, each at its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.data.checking.masks import examine_shapes, shape_place
from vesselbench.data.masks import decode, encode_rle
from vesselbench.types import Polygons, Rle, Sample

SIZE = (32, 32)


def box(left: float, top: float, right: float, bottom: float) -> Polygons:
    return Polygons(((left, top, right, top, right, bottom, left, bottom),))


def sample(*shapes: Polygons | Rle, origin: str = "a.json annotations[3, 5, 8]") -> Sample:
    return Sample("a", Path("a.png"), shapes, origin=origin)


def found(one: Sample, size: tuple[int, int] | None = SIZE) -> list[tuple[str, str, str]]:
    return [(finding.code, finding.index, finding.reason) for finding in examine_shapes(one, size)]


def test_shapes_apart_have_no_finding() -> None:
    assert found(sample(box(1, 1, 5, 5), box(8, 8, 12, 12), box(20, 1, 25, 5))) == []


def test_an_overlap_says_how_many_pixels_and_with_which() -> None:
    assert found(sample(box(0, 0, 10, 10), box(20, 20, 30, 30), box(5, 5, 12, 10))) == [
        ("overlapping-polygons", "annotations[8]", "25 pixels are also in annotations[3]")
    ]


def test_a_copy_is_found_wherever_it_begins_and_is_no_overlap() -> None:
    turned = Polygons(((10, 10, 0, 10, 0, 0, 10, 0),))
    assert found(sample(box(0, 0, 10, 10), box(20, 20, 30, 30), turned)) == [
        ("duplicate-polygon", "annotations[8]", "the same outline as annotations[3]")
    ]


def test_a_part_that_stands_twice_in_one_shape_is_found() -> None:
    double = Polygons((*box(0, 0, 10, 10).parts, *box(0, 0, 10, 10).parts))
    assert found(sample(double, origin="a.json annotations[3]")) == [
        ("duplicate-polygon", "annotations[3] part[1]", "the same outline as annotations[3]")
    ]


def test_equal_run_lengths_are_copies() -> None:
    rle = encode_rle(decode((box(2, 2, 9, 9),), SIZE, "x"))
    assert [code for code, _, _ in found(sample(rle, rle, origin="a.json"))] == ["duplicate-polygon"]


def test_without_a_size_only_copies_are_looked_for() -> None:
    assert found(sample(box(0, 0, 10, 10), box(5, 5, 12, 10), box(0, 0, 10, 10)), None) == [
        ("duplicate-polygon", "annotations[8]", "the same outline as annotations[3]")
    ]


def test_a_place_without_an_index_per_shape_counts_shapes() -> None:
    two = sample(box(0, 0, 9, 9), box(20, 20, 29, 29), origin="a.json")
    assert str(shape_place(two, 1)) == "a.json shape[1]"


boxes = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 11), st.integers(1, 11))


@given(st.lists(boxes, min_size=2, max_size=5))
def test_shapes_are_reported_exactly_when_a_pixel_lies_in_two(corners: list[tuple[int, int, int, int]]) -> None:
    shapes = [box(left, top, left + width, top + height) for left, top, width, height in corners]
    unlike = list(dict.fromkeys(shapes))
    covered = np.sum([decode((shape,), SIZE, "x") for shape in unlike], axis=0)
    codes = [code for code, _, _ in found(sample(*shapes, origin="a.json"))]
    assert ("overlapping-polygons" in codes) == bool((covered > 1).any())
    assert codes.count("duplicate-polygon") == len(shapes) - len(unlike)
