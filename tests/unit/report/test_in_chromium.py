"""A page as a browser sees it: no error, no request, no sideways scrolling, readable without scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import check_page
from tests.unit.report.test_accessibility import check
from vesselbench.compare import compare, with_ladder
from vesselbench.comparing.learning import Curve, Size
from vesselbench.ladder import Ladder, Rung
from vesselbench.report import render_comparison
from vesselbench.report.leaderboard import make_board, render_board
from vesselbench.report.learning import render_curve

LONG = "unet-with-a-name-that-is-far-too-long-for-a-phone-and-goes-on"


@pytest.fixture
def page(write_predictions, catalogue, tmp_path) -> Path:
    runs = [write_predictions(LONG, 1, empty=1), write_predictions("sa2va", 3)]
    return render_comparison(compare(runs), tmp_path / "out", catalogue)


def test_the_comparison_asks_for_nothing_and_fits_a_phone(browser, page):
    check_page(browser, page)
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
    check_page(browser, render_board(make_board(runs), tmp_path / "board"))


def test_the_learning_curve_asks_for_nothing_and_fits_a_phone(browser, write_run, tmp_path):
    sizes = []
    for groups, ours, theirs in ((2, 0.61, 0.72), (4, 0.7, 0.74), (8, 0.82, 0.78), (16, 0.86, 0.79)):
        train = tuple(f"p{one}" for one in range(groups))
        means = ((LONG, ours), ("small", theirs))
        runs = [write_run(name, {"x": mean, "y": mean - 0.02, "z": mean + 0.03}, train=train) for name, mean in means]
        sizes.append(Size(groups / 16, groups, groups, compare(runs)))
    page = render_curve(Curve(tuple(sizes), (LONG, "small")), tmp_path / "curve")
    check(page.read_text())
    check_page(browser, page)


def test_seeds_of_one_recipe_stand_apart_by_their_folders(browser, write_predictions, catalogue, tmp_path):
    runs = [write_predictions("unet", shift) for shift in (1, 2, 1)]
    means = {"empty": 0.0, "otsu": 0.4, "reference": 1.0, "shifted": 0.9}
    scores = {name: {metric: {"mean": mean} for metric in ("dice", "iou")} for name, mean in means.items()}
    ladder = Ladder(tuple(Rung(name, "As it says.", held, {}) for name, held in scores.items()))
    comparison = with_ladder(compare(runs), ladder)
    check_page(browser, render_comparison(comparison, tmp_path / "out", catalogue))
