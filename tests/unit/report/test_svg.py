"""Drawings are well-formed, stay inside their frame and say in words what they show."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesselbench.report.svg import Axes, Drawing, Scale, number, shortened, spread, standalone

FINITE = st.floats(-1e6, 1e6).map(lambda value: round(value, 6))


@given(st.lists(FINITE, min_size=1, max_size=9))
def test_every_range_has_ticks_inside_and_values_inside(values):
    low, high = spread(values)
    scale = Scale(low, high, 50, 400)
    assert all(50 <= scale(value) <= 400 for value in values)
    assert 2 <= len(scale.ticks()) <= 8
    assert all(low - 1e-9 * abs(low) <= tick <= high + 1e-9 * abs(high) for tick in scale.ticks())


@given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=9))
def test_a_logarithmic_range_has_ticks_at_round_values(values):
    low, high = spread(values, log=True)
    scale = Scale(low, high, 50, 400, log=True)
    assert all(50 <= scale(value) <= 400 for value in values)
    assert len(scale.ticks()) <= 8
    assert all(f"{tick:.0e}"[0] in "125" for tick in scale.ticks())


def test_names_are_escaped_and_the_alternative_text_is_there():
    axes = Axes.between((0, 1), (0, 1))
    axes.frame("<x>", 'a "quoted" & name')
    axes.drawing.dot(axes.x(0.5), axes.y(0.5), 4, "dot run1", "Meyer <3>")
    root = ET.fromstring(axes.drawing.render('one point of "run" & <more>'))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == 'one point of "run" & <more>'
    texts = {element.text for element in root.iter() if element.text}
    assert {"<x>", 'a "quoted" & name', "Meyer <3>"} <= texts


def test_a_drawing_as_a_file_of_its_own_brings_its_colours():
    drawing = Drawing()
    drawing.line(0, 0, 1, 1, "grid")
    root = ET.fromstring(standalone(drawing.render("a line")))
    (style,) = (element.text for element in root if element.tag.endswith("style"))
    assert "--run0: #0072b2" in style
    assert "prefers-color-scheme: dark" in style
    assert "svg .grid" in style


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.25, "0.25"), (1500, "1500"), (2e4, "20k"), (3.2e6, "3.2M"), (9.4e9, "9.4B")]
)
def test_ticks_are_written_short(value, text):
    assert number(value) == text


def test_long_names_keep_the_end_that_tells_them_apart():
    assert shortened("a" * 40 + "_7", 10) == "…" + "a" * 7 + "_7"
