"""Widths are those of the strip that was drawn; Dice and clDice are those of the paper, also per width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import cdist

from vesselbench.data.limits.widths import (
    EDGES,
    bin_names,
    centre_line,
    line_widths,
    measure_vessels,
    overlap,
    overlaps_by_width,
)

masks = arrays.arrays(bool, (14, 17))


def strip(width: int, length: int = 60, side: int = 60) -> np.ndarray:
    mask = np.zeros((side, length), bool)
    top = (side - width) // 2
    mask[top : top + width] = True
    return mask


@pytest.mark.parametrize("width", range(1, 16))
def test_the_width_on_the_centre_line_of_a_strip_is_its_width(width: int) -> None:
    mask = strip(width)
    line = centre_line(mask)
    line[:, :width] = line[:, -width:] = False  # a skeleton bends at the ends
    assert set(line_widths(mask, line)) == {float(width)}


def test_a_full_mask_has_the_width_of_its_shorter_side() -> None:
    full = np.ones((5, 9), bool)
    assert (line_widths(full, full) == 5).all()
    assert (line_widths(full, full, spacing=(2.0, 0.5)) == 4.5).all()


@given(mask=masks.filter(lambda mask: mask.any() and not mask.all()), step=st.sampled_from([(1.0, 1.0), (0.5, 2.0)]))
def test_widths_are_those_of_a_distance_transform_on_half_pixels(mask: np.ndarray, step: tuple[float, float]) -> None:
    fine = np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1)
    distances = distance_transform_edt(fine, sampling=step)
    expected = distances.reshape(mask.shape[0], 2, mask.shape[1], 2).max(axis=(1, 3))[mask]
    assert line_widths(mask, mask, step) == pytest.approx(expected)


@given(mask=masks.filter(lambda mask: mask.any()), drawn=masks, step=st.sampled_from([(1.0, 1.0), (0.5, 2.0)]))
def test_zones_and_overlaps_by_width_are_those_of_brute_force(mask, drawn, step) -> None:
    """Of several equally near pieces of centre line any may be the one."""
    vessels = measure_vessels(mask, spacing=step)
    line, places = np.argwhere(vessels.line), np.indices(mask.shape).reshape(2, -1).T
    apart = cdist(places * np.asarray(step), line * np.asarray(step))
    bins = np.searchsorted(EDGES, line_widths(mask, vessels.line, step))
    near = [set(bins[row <= row.min() + 1e-9]) for row in apart]
    assert all(zone in allowed for zone, allowed in zip(vessels.zones.flat, near, strict=True))
    for number, found in enumerate(overlaps_by_width(vessels, drawn)):
        inside = vessels.zones == number
        if number not in bins:
            assert found is None
            continue
        pairs = list(zip(drawn[inside], mask[inside], strict=True))
        both = sum(a and b for a, b in pairs)
        assert found.recall == both / sum(b for _, b in pairs)
        assert found.precision == (both / sum(a for a, _ in pairs) if any(a for a, _ in pairs) else 0)


def test_every_pixel_belongs_to_the_width_of_the_nearest_vessel() -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:12] = True  # 2 px
    mask[40:48] = True  # 8 px
    zones = measure_vessels(mask).zones
    assert (zones[:20, 20:60] == 0).all()
    assert (zones[35:, 20:60] == EDGES.index(9.0)).all()


def test_there_is_a_name_for_every_bin() -> None:
    assert len(bin_names()) == len(set(bin_names())) == len(EDGES) + 1
    assert [bin_names()[0], bin_names()[1], bin_names()[-1]] == ["up to 2 px", "2-3 px", "over 9 px"]


@given(reference=masks, predicted=masks)
def test_dice_and_cldice_are_those_of_the_definition(reference: np.ndarray, predicted: np.ndarray) -> None:
    found = overlap(measure_vessels(reference), predicted)
    both = int(reference.sum() + predicted.sum())
    assert found.dice == pytest.approx(2 * int((reference & predicted).sum()) / both if both else 1.0)
    lines = centre_line(predicted), centre_line(reference)
    if not both:
        assert found.cldice == 1
    elif not lines[0].any() or not lines[1].any():
        assert found.cldice == 0
    else:
        precision, sensitivity = reference[lines[0]].mean(), predicted[lines[1]].mean()
        total = precision + sensitivity
        assert found.cldice == pytest.approx(2 * precision * sensitivity / total if total else 0)


@given(mask=masks)
def test_a_mask_agrees_with_itself_in_every_bin(mask: np.ndarray) -> None:
    vessels = measure_vessels(mask)
    assert overlap(vessels, mask).dice == overlap(vessels, mask).cldice == 1
    known = [one for one in overlaps_by_width(vessels, mask) if one is not None]
    assert [(one.dice, one.cldice) for one in known] == [(1, 1)] * len(known)
    assert sum(one.pixels for one in known) == int(vessels.line.sum())


def test_a_lost_thin_vessel_costs_its_own_bin_only() -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:12] = True
    wide = np.zeros((60, 80), bool)
    wide[40:48] = True
    thin, *between, last = overlaps_by_width(measure_vessels(mask | wide), wide)[: EDGES.index(9.0) + 1]
    assert thin is not None
    assert last is not None
    assert (thin.dice, thin.cldice) == (0, 0)
    assert (last.dice, last.cldice) == (1, 1)
    assert between == [None] * 3 or all(one is None or one.pixels < 10 for one in between)  # the ends of a skeleton


def test_only_what_lies_inside_the_field_of_view_counts() -> None:
    reference = measure_vessels(strip(4))
    predicted = strip(4)
    predicted[:5] = True
    inside = np.ones((60, 60), bool)
    assert overlap(reference, predicted, inside).dice < 1
    inside[:5] = False
    assert overlap(reference, predicted, inside).dice == 1


@given(length=st.integers(1, 12))
def test_a_missed_half_of_a_line_halves_the_sensitivity(length: int) -> None:
    mask = np.zeros((5, 24), bool)
    mask[2, : 2 * length] = True
    predicted = mask.copy()
    predicted[2, length:] = False
    found = overlap(measure_vessels(mask), predicted)
    assert found.cldice == pytest.approx(2 / 3)  # precision 1, sensitivity 1/2
