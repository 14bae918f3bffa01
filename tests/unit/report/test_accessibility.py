"""What a person who cannot see well, or not at all, needs of a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from vesselbench.compare import compare
from vesselbench.report import render_comparison
from vesselbench.report.page import read_part

TEXT, GRAPHICS = 4.5, 3.0
"""Least contrast of text and of what carries meaning in a picture (WCAG 2.2, 1.4.3 and 1.4.11)."""
STYLE = read_part("style.css")


def variables(block: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w+): (#[0-9a-fA-F]{3,6})", block))


LIGHT = variables(STYLE[: STYLE.index("@media (prefers-color-scheme: dark)")])
DARK = {**LIGHT, **variables(STYLE[STYLE.index("@media (prefers-color-scheme: dark)") : STYLE.index("* { box-sizing")])}
PRINT = {**LIGHT, **variables(STYLE[STYLE.index("@media print") :])}
THEMES = {"light": LIGHT, "dark": DARK, "print": PRINT}


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_measure_is_that_of_the_guidelines():
    assert contrast("#fff", "#000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ink", ["ink", "soft", "accent", "alarm", "good", "warn"])
def test_every_text_stands_out_from_every_ground(theme, ink):
    colours = THEMES[theme]
    for ground in ("page", "card", "zebra"):
        assert contrast(colours[ink], colours[ground]) >= TEXT, (ink, ground)


@pytest.mark.parametrize("theme", THEMES)
def test_the_colour_of_every_run_stands_out_from_its_ground(theme):
    colours = THEMES[theme]
    for place in range(6):
        assert contrast(colours[f"run{place}"], colours["card"]) >= GRAPHICS, place


class Outline(HTMLParser):
    """Headings in order, every tag with its attributes, and every id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))


def check(text: str) -> None:
    """Language, headings that leave out no level, names for pictures, headings of tables, links that lead somewhere."""
    outline = Outline(text)
    assert ("html", {"lang": "en"}) in outline.tags
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    steps = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(later - earlier <= 1 for earlier, later in steps)
    for tag, attributes in outline.tags:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
        if attributes.get("role") == "region":
            assert attributes["aria-label"]
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in outline.tags:
        if tag == "a":
            assert (attributes["href"] or "")[1:] in ids
    assert sum(tag == "table" for tag, _ in outline.tags) == sum(tag == "caption" for tag, _ in outline.tags)
    assert any(tag == "main" for tag, _ in outline.tags)


def test_the_comparison_can_be_read_aloud(write_predictions, catalogue, tmp_path):
    runs = [write_predictions("unet", 1, empty=1), write_predictions("sa2va", 3), write_predictions("third", 2)]
    check(render_comparison(compare(runs), tmp_path / "out", catalogue).read_text())
