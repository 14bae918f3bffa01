"""A run whose split leaks says so in red at the head of every report; one without a leak does not speak of it."""

from __future__ import annotations

import pytest

from vesselbench.compare import compare
from vesselbench.report import render_comparison
from vesselbench.report.leaderboard import make_board, render_board

LINE = "2 pairs of equal image files across sets (test and train)"


@pytest.mark.parametrize("pseudonymised", [False, True])
def test_the_leak_stands_above_the_verdict(write_predictions, tmp_path, catalogue, pseudonymised):
    runs = [write_predictions("sa2va", 2, leaks=[LINE]), write_predictions("unet", 1, leaks=[LINE])]
    page = render_comparison(compare(runs), tmp_path / "out", catalogue, pseudonymised=pseudonymised)
    html, markdown = page.read_text(), (page.parent / "report.md").read_text()
    assert html.index('<section class="leak"') < html.index(LINE) < html.index('<section class="verdict"')
    assert markdown.index("The split leaks") < markdown.index(LINE) < markdown.index("## Scores")


def test_one_leaking_run_of_two_is_enough(write_predictions, tmp_path, catalogue):
    runs = [write_predictions("sa2va", 2), write_predictions("unet", 1, leaks=[LINE])]
    page = render_comparison(compare(runs), tmp_path / "out", catalogue)
    assert LINE in page.read_text()


@pytest.mark.parametrize("record", [{}, {"leaks": []}])
def test_a_clean_split_is_not_spoken_of(write_predictions, tmp_path, catalogue, record):
    page = render_comparison(compare([write_predictions("unet", 1, **record)]), tmp_path / "out", catalogue)
    assert 'class="leak"' not in page.read_text()
    assert "leaks" not in (page.parent / "report.md").read_text()


def test_a_leaderboard_says_it_of_the_table_that_it_concerns(write_run, tmp_path):
    leaking = [write_run(name, {"x": 0.9, "y": mean}, leaks=[LINE]) for name, mean in (("a", 0.8), ("b", 0.4))]
    clean = write_run("c", {"z": 0.5}, test=("z",))
    page = render_board(make_board([*leaking, clean]), tmp_path / "board")
    for text in (page.read_text(), (page.parent / "leaderboard.md").read_text()):
        assert text.count("leaks, and was used all the same") == 1
        assert text.rindex("2 test images") < text.index(LINE) < text.rindex("1 test images")
