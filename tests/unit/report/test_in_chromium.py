"""A page as a browser sees it: no error, no request, no sideways scrolling, readable without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, find_chromium
from vesselbench.compare import compare
from vesselbench.report import render_comparison
from vesselbench.report.leaderboard import make_board, render_board

PROGRAM = find_chromium()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed (.ci/run installs it)")
ILLEGIBLE = """[...document.querySelectorAll('svg')].flatMap(svg => {
  const frame = svg.getBoundingClientRect(), found = [];
  const words = [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()]);
  words.forEach(([word, box], place) => {
    if (box.left < frame.left - 1 || box.right > frame.right + 1) found.push(`cut off: ${word}`);
    if (box.top < frame.top - 1 || box.bottom > frame.bottom + 1) found.push(`cut off: ${word}`);
    words.slice(place + 1).forEach(([other, second]) => {
      const wide = Math.min(box.right, second.right) - Math.max(box.left, second.left);
      const high = Math.min(box.bottom, second.bottom) - Math.max(box.top, second.top);
      if (wide > 2 && high > 3) found.push(`${word} over ${other}`);
    });
  });
  return found.map(said => `${svg.getAttribute('aria-label').slice(0, 40)}: ${said}`);
})"""
"""Words of plots that are cut off by their frame, or lie on other words."""
LONG = "unet-with-a-name-that-is-far-too-long-for-a-phone-and-goes-on"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    opened = Browser(PROGRAM, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def page(write_predictions, catalogue, tmp_path) -> Path:
    runs = [write_predictions(LONG, 1, empty=1), write_predictions("sa2va", 3)]
    return render_comparison(compare(runs), tmp_path / "out", catalogue)


def check(browser: Browser, page: Path) -> None:
    for width in (1280, 390):
        for dark in (False, True):
            browser.open(page, width, dark=dark)
            assert browser.requests() == [page.resolve().as_uri()]
            assert browser.complaints() == []
            assert browser.value("window.innerWidth") == width
            assert browser.value("document.documentElement.scrollWidth") <= width
            assert browser.value(ILLEGIBLE) == []
            assert browser.value("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_the_comparison_asks_for_nothing_and_fits_a_phone(browser, page):
    check(browser, page)
    assert browser.value("document.querySelectorAll('svg').length") >= 5
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"


def test_a_table_is_sorted_by_its_heading_both_ways(browser, page):
    browser.open(page, 1280)
    table = "document.querySelector('#images table.sortable')"
    values = f"[...{table}.tBodies[0].rows].map(row => Number(row.cells[2].dataset.sort))"
    before = browser.value(values)
    for state, expected in (("ascending", sorted(before)), ("descending", sorted(before, reverse=True))):
        browser.value(f"{table}.tHead.rows[0].cells[2].querySelector('button').click()")
        assert browser.value(f"{table}.tHead.rows[0].cells[2].getAttribute('aria-sort')") == state
        assert browser.value(values) == expected
    assert before != sorted(before)


def test_without_scripts_everything_can_still_be_read(browser, page):
    browser.open(page, 390, scripts=False)
    assert browser.complaints() == []
    assert browser.value("document.querySelector('.said').innerText.length") > 40
    assert browser.value("document.querySelectorAll('thead button').length") == 0
    assert browser.value("document.querySelector('#scores table').innerText.includes('dice')")


def test_what_the_browser_reports_is_heard_at_all(browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://example.invalid/x.png'><script>nothing.here()</script><p style='width:900px'>x")
    browser.open(bad, 390)
    assert "http://example.invalid/x.png" in browser.requests()
    assert browser.complaints()
    assert browser.value("document.documentElement.scrollWidth") > 390


def test_the_leaderboard_asks_for_nothing_and_fits_a_phone(browser, write_run, tmp_path):
    runs = [write_run(name, {"x": 0.9, "y": mean}) for name, mean in (("a", 0.8), ("b", 0.4), (LONG, 0.5))]
    check(browser, render_board(make_board(runs), tmp_path / "board"))
