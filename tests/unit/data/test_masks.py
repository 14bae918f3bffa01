"""masks.py against brute force, and against everything that kills pycocotools."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools import mask as coco

from vesselbench.data.findings import Fault, Place, collecting, each
from vesselbench.data.masks import (
    _fill,
    _outlines,
    _sound_outlines,
    check_polygons,
    check_rle,
    decode,
    encode_rle,
    examine_polygons,
    examine_rle,
    mask_sha256,
    to_uncompressed,
)
from vesselbench.errors import UserError
from vesselbench.types import MaskFile, Polygons, Rle, Size

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
MASKS = hnp.arrays(np.bool_, SHAPES)
SQUARE = (2.0, 3.0, 8.0, 3.0, 8.0, 9.0, 2.0, 9.0)


def brute_force_counts(mask: np.ndarray) -> tuple[int, ...]:
    counts, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return tuple(counts)


@given(MASKS)
def test_compressed_run_lengths_come_back_as_they_went(mask: np.ndarray) -> None:
    rle = encode_rle(mask)
    assert isinstance(rle.counts, bytes)
    assert np.array_equal(decode((rle,), mask.shape, "x"), mask)


@given(MASKS)
def test_uncompressed_run_lengths_equal_brute_force(mask: np.ndarray) -> None:
    plain = to_uncompressed(encode_rle(mask))
    assert plain.counts == brute_force_counts(mask)
    assert np.array_equal(decode((plain,), mask.shape, "x"), mask)


@given(MASKS)
def test_run_lengths_decode_as_pycocotools_decodes_them(mask: np.ndarray) -> None:
    rle = encode_rle(mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 under numpy 2
        theirs = coco.decode({"size": list(rle.size), "counts": rle.counts}).astype(bool)
    assert np.array_equal(decode((rle,), mask.shape, "x"), theirs)


def test_long_run_lengths_need_several_characters_and_survive() -> None:
    mask = np.zeros((700, 900), dtype=bool)
    mask[650:, 880:] = True
    mask[3, 5] = True
    assert np.array_equal(decode((encode_rle(mask),), mask.shape, "x"), mask)


@given(st.binary(max_size=60), st.integers(1, 30), st.integers(1, 30))
def test_any_bytes_as_run_lengths_are_refused_or_sum_to_the_size(text: bytes, height: int, width: int) -> None:
    try:
        counts = check_rle(Rle(text, (height, width)), "x")
    except UserError:
        return
    assert sum(counts) == height * width
    assert min(counts) >= 0


@given(st.lists(st.integers(-5, 400), max_size=12))
def test_any_counts_as_run_lengths_are_refused_or_decoded(counts: list[int]) -> None:
    rle = Rle(tuple(counts), (20, 10))
    if sum(counts) == 200 and min(counts) >= 0:
        assert int(decode((rle,), (20, 10), "x").sum()) == sum(counts[1::2])
    else:
        with pytest.raises(UserError):
            decode((rle,), (20, 10), "x")


@pytest.mark.parametrize(
    ("rle", "words"),
    [
        (Rle((10, 5), (4, 4)), "sum to 15, not to 4 x 4 = 16"),
        (Rle((10, 7), (4, 4)), "sum to 17"),
        (Rle((18, -2), (4, 4)), "negative"),
        (Rle(b"\xff", (4, 4)), "character 0"),
        (Rle(b"P" * 12, (4, 4)), "character 7"),
        (Rle(b"P", (4, 4)), "cut short"),
        (Rle((0,), (0, 4)), "impossible size"),
        (Rle((10**12,), (10**6, 10**6)), "impossible size"),
    ],
)
def test_malformed_run_lengths_say_what_is_wrong(rle: Rle, words: str) -> None:
    with pytest.raises(UserError, match=r"file annotations\[3\]") as caught:
        decode((rle,), (4, 4), "file annotations[3]")
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ((1.0, 2.0), "1 point,"),
        ((), "0 points"),
        ((1.0, 2.0, 3.0, 4.0), "2 points"),
        ((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0), "7 coordinates"),
        ((1.0, 2.0, 3.0, math.nan, 5.0, 6.0), "not finite"),
        ((1.0, 2.0, 3.0, math.inf, 5.0, 6.0), "not finite"),
        ((1.0, 2.0, 3.0, -math.inf, 5.0, 6.0), "not finite"),
        ((1.0, 2.0, 3.0, 1e9, 5.0, 6.0), "outside the image"),
        ((1.0, 2.0, 3.0, 1e308, 5.0, 6.0), "outside the image"),
    ],
)
def test_malformed_polygons_are_refused_with_their_index(part: tuple[float, ...], words: str) -> None:
    with pytest.raises(UserError, match=r"file\.json annotations\[3\]\[1\]") as caught:
        decode((Polygons((SQUARE, part)),), (16, 16), "file.json annotations[3]")
    assert words in caught.value.message


@settings(deadline=10_000)
@given(st.lists(st.floats(), max_size=14))
def test_any_numbers_as_a_polygon_are_refused_or_decoded_in_bounded_time(numbers: list[float]) -> None:
    try:
        mask = decode((Polygons((tuple(numbers),)),), (9, 11), "x")
    except UserError:
        return
    assert mask.shape == (9, 11)
    assert mask.dtype == np.bool_


def test_a_polygon_without_parts_is_refused() -> None:
    with pytest.raises(UserError, match="no polygon"):
        check_polygons(Polygons(()), "x")


def test_a_rectangle_covers_exactly_its_pixels() -> None:
    expected = np.zeros((12, 12), dtype=bool)
    expected[3:9, 2:8] = True
    assert np.array_equal(decode((Polygons((SQUARE,)),), (12, 12), "x"), expected)


def test_overlapping_shapes_are_united_not_added() -> None:
    other = (5.0, 5.0, 11.0, 5.0, 11.0, 11.0, 5.0, 11.0)
    one, two = (decode((Polygons((part,)),), (12, 12), "x") for part in (SQUARE, other))
    together = decode((Polygons((SQUARE, other)),), (12, 12), "x")
    apart = decode((Polygons((SQUARE,)), Polygons((other,)), encode_rle(one)), (12, 12), "x")
    assert np.array_equal(together, one | two)
    assert np.array_equal(apart, one | two)


def test_the_empty_union_is_an_empty_mask() -> None:
    assert not decode((), (5, 7), "x").any()
    assert decode((), (5, 7), "x").shape == (5, 7)


def test_polygons_stated_at_800_are_scaled_to_512() -> None:
    stated = Polygons(((100.0, 200.0, 500.0, 200.0, 500.0, 700.0, 100.0, 700.0),), (800, 800))
    direct = Polygons(((64.0, 128.0, 320.0, 128.0, 320.0, 448.0, 64.0, 448.0),))
    assert np.array_equal(decode((stated,), (512, 512), "x"), decode((direct,), (512, 512), "x"))


def test_polygons_are_scaled_by_each_axis_of_its_own() -> None:
    stated = Polygons(((0.0, 0.0, 10.0, 0.0, 10.0, 20.0, 0.0, 20.0),), (20, 40))
    mask = decode((stated,), (40, 40), "x")
    assert mask[:, :10].all()
    assert not mask[:, 10:].any()


def test_run_lengths_of_another_size_are_scaled_by_nearest_neighbour() -> None:
    mask = np.random.default_rng(0).random((6, 4)) < 0.5
    doubled = decode((encode_rle(mask),), (12, 8), "x")
    assert np.array_equal(doubled, mask.repeat(2, axis=0).repeat(2, axis=1))
    assert np.array_equal(decode((encode_rle(doubled),), (6, 4), "x"), mask)


@pytest.mark.parametrize("shape", [Polygons((SQUARE,), (30, 20)), Rle((600,), (30, 20))])
def test_exchanged_height_and_width_are_refused(shape: Polygons | Rle) -> None:
    with pytest.raises(UserError, match="annotated as 30 x 20"):
        decode((shape,), (20, 30), "x")


def test_the_hash_of_a_mask_follows_pixels_and_shape() -> None:
    mask = np.zeros((4, 6), dtype=bool)
    other = mask.copy()
    other[3, 5] = True
    hashes = {mask_sha256(mask), mask_sha256(other), mask_sha256(mask.reshape(6, 4)), mask_sha256(mask.reshape(3, 8))}
    assert len(hashes) == 4
    assert mask_sha256(np.asfortranarray(other)) == mask_sha256(other)


def test_a_mask_file_is_decoded_through_the_same_door(tmp_path: Path) -> None:
    pixels = np.zeros((5, 7), dtype=np.uint8)
    pixels[2, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "m.png")
    assert np.array_equal(decode(MaskFile(tmp_path / "m.png"), (5, 7), "x"), pixels > 0)


def codes(polygons: Polygons, **values: object) -> list[str]:
    with collecting() as findings, each("x"):
        examine_polygons(polygons, "a.json annotations[0].segmentation", **values)  # type: ignore[arg-type]
    return [finding.code for finding in findings]


BOW = (2.0, 2.0, 9.0, 9.0, 9.0, 2.0, 2.0, 9.0)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((SQUARE,), []),
        ((), ["empty-segmentation"]),
        (((1.0, 2.0),), ["too-few-points"]),
        (((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),), ["odd-coordinates"]),
        (((1.0, 2.0, math.nan, 4.0, 5.0, 6.0),), ["not-finite"]),
        (((1.0, 2.0, 3.0, 4.0, 5.0, 6.0),), ["zero-area"]),
        (((20.0, 2.0, 30.0, 2.0, 30.0, 9.0),), ["outside-image"]),
        (((2.0, 2.0, 60.0, 2.0, 60.0, 9.0),), ["outside-image"]),
        (((2.0, 2.0, 20.0, 2.0, 20.0, 9.0),), ["partly-outside"]),
        ((SQUARE, (20.0, 2.0, 30.0, 2.0, 30.0, 9.0)), ["partly-outside"]),
        ((BOW,), ["self-crossing"]),
        ((SQUARE, BOW), ["self-crossing"]),
    ],
)
def test_every_fault_of_a_polygon_has_its_code(parts: tuple[tuple[float, ...], ...], expected: list[str]) -> None:
    assert codes(Polygons(parts, (16, 16))) == expected
    assert codes(Polygons(parts), size=(16, 16)) == expected


def test_without_a_size_nothing_is_said_about_the_inside_of_an_image() -> None:
    assert codes(Polygons(((2.0, 2.0, 900.0, 2.0, 900.0, 9.0),))) == []


def test_a_finding_names_the_part_the_count_and_the_sample() -> None:
    with collecting() as findings:
        examine_polygons(Polygons((SQUARE, (2.0, 2.0, 20.0, 2.0, 20.0, 9.0)), (16, 16)), "a.json [7]", sample="s")
    assert (findings[0].file, findings[0].index, findings[0].sample) == ("a.json", "[7][1]", "s")
    assert findings[0].reason == "2 of 3 points lie outside the image (16 x 16)"


@pytest.mark.parametrize(
    ("rle", "expected"),
    [
        (Rle((10, 5), (4, 4)), ["rle-short"]),
        (Rle((10, 7), (4, 4)), ["rle-long"]),
        (Rle((18, -2), (4, 4)), ["rle-damaged"]),
        (Rle(b"\xff", (4, 4)), ["rle-damaged"]),
        (Rle((0,), (0, 4)), ["impossible-size"]),
        (Rle((10, 6), (2, 8)), ["rle-size"]),
        (Rle((10, 6), (4, 4)), []),
    ],
)
def test_every_fault_of_run_lengths_has_its_code(rle: Rle, expected: list[str]) -> None:
    with collecting() as findings, each("x"):
        examine_rle(rle, "a.json [0]", (4, 4))
    assert [finding.code for finding in findings] == expected


def test_an_outline_too_long_to_draw_is_refused() -> None:
    zigzag = np.zeros((200_001, 2))
    zigzag[::2, 0], zigzag[:, 1] = 60.0, np.linspace(0, 60, 200_001)
    with pytest.raises(Fault, match=r"an outline of 1\.2e") as caught:
        decode((Polygons((tuple(zigzag.ravel()),)),), (64, 64), "x")
    assert caught.value.code == "outline-too-long"


_ROUGHLY = st.floats(-40, 80) | st.sampled_from([0.0, 24.0, 1e300, math.nan])
_ROUGH = st.lists(
    st.lists(
        st.tuples(*[st.floats(-40, 80) | st.sampled_from([0.0, 24.0, 1e300, float("nan")])] * 2), min_size=2, max_size=6
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=200)
@given(_ROUGH, st.sampled_from([None, (24, 32), (48, 64), (12, 32)]))
def test_outlines_looked_at_together_give_what_each_gives_by_itself(
    parts: list[list[tuple[float, float]]], size: Size | None
) -> None:
    shapes = tuple(Polygons((tuple(value for point in part for value in point),), size) for part in parts)
    together = _sound_outlines(shapes, (24, 32))
    if together is not None:
        union = np.zeros((24, 32), dtype=np.bool_)
        for shape in shapes:
            union |= _fill(_outlines(shape, (24, 32), Place("x")), (24, 32))
        assert np.array_equal(decode(shapes, (24, 32), "x"), union)


def test_sound_outlines_are_looked_at_together_and_others_are_not() -> None:
    sound = Polygons(((1.0, 1.0, 20.0, 2.0, 9.0, 15.0),))
    assert _sound_outlines([sound, sound], (24, 32)) is not None
    for part in (
        (1.0, 1.0),
        (1.0, 1.0, 5.0, 5.0, 9.0, 9.0),
        (40.0, 1.0, 50.0, 2.0, 45.0, 9.0),
        (1.0, 1.0, 9.0, 1.0, 5e3, 9.0),
    ):
        assert _sound_outlines([sound, Polygons((part,))], (24, 32)) is None
    assert _sound_outlines([replace(sound, size=(32, 24))], (24, 32)) is None
