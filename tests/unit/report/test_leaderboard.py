"""A leaderboard puts in one table what may be compared, and names what it leaves out."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from tests.unit.report.sections import Sections
from tests.unit.report.test_accessibility import check
from vesselbench.cli import app
from vesselbench.report.leaderboard import board_table, hidden, make_board, render_board

HIGH, LOW = ({f"i{n}": mean + n / 100 for n in range(6)} for mean in (0.8, 0.4))


def labels(comparison) -> list[str]:
    return [row[1].text for row in board_table(comparison).rows]


def test_runs_of_one_split_share_a_table_best_first_and_others_have_their_own(write_run):
    runs = [write_run("low", LOW), write_run("high", HIGH), write_run("other", HIGH, fingerprint="ab" * 32)]
    board = make_board(runs)
    assert [labels(comparison) for comparison in board.comparisons] == [["high", "low"], ["other"]]
    assert board.left_out == ()


def test_tables_that_differ_in_the_size_of_the_training_set_have_unlike_titles(write_run, tmp_path):
    sizes = (("t1", "t2"), ("t1", "t2", "t3"))
    runs = [write_run(name, HIGH, train=train) for train in sizes for name in ("small", "large")]
    text = render_board(make_board(runs), tmp_path / "board").read_text()
    titles = [heading for heading in Sections(text).headings if "images of" in heading]
    assert [title.rsplit(", ", 1)[1] for title in titles] == ["2 to train on", "3 to train on"]


def test_neighbours_are_judged_from_the_better_ones_side_whatever_the_order(write_run):
    low, high = write_run("low", LOW), write_run("high", HIGH)
    for runs in ([low, high], [high, low]):
        (comparison,) = make_board(runs).comparisons
        first, last = board_table(comparison).rows
        assert first[-3].text.startswith("better: +0.400 [+0.400, +0.400]")
        assert last[-3].text == ""


def test_what_cannot_be_shown_is_left_out_by_name_with_its_reason(write_run):
    good, running = write_run("good", HIGH), write_run("running", LOW, status="running")
    bare = write_run("bare", LOW)
    (bare.evaluation("test") / "summary.json").unlink()
    board = make_board([good, running, bare])
    assert {one.run.split("/")[0]: one.reason for one in board.left_out}.keys() == {"running", "bare"}
    assert any("not finished" in one.reason for one in board.left_out)
    assert any("no scores of its test set" in one.reason for one in board.left_out)


def test_the_page_the_markdown_and_the_json_say_the_same(write_run, tmp_path):
    runs = [write_run("low", LOW), write_run("high", HIGH), write_run("other", HIGH, fingerprint="ab" * 32)]
    page = render_board(make_board(runs), tmp_path / "board")
    text = page.read_text()
    check(text)
    record = json.loads((tmp_path / "board" / "leaderboard.json").read_text())
    assert [len(table["runs"]) for table in record["tables"]] == [2, 1]
    markdown = (tmp_path / "board" / "leaderboard.md").read_text()
    assert markdown.count("## ") == 2
    assert Sections(text).not_in(markdown) == []
    for plot in (tmp_path / "board" / "panels").iterdir():
        assert f"panels/{plot.name}" in markdown


def test_pseudonyms_hide_images_and_folders(write_run, tmp_path):
    values = {"Meyer 1": 0.5, "Meyer 2": 0.7}
    board = make_board([write_run(name, values, config={"data": {"root": "/home/Meyer"}}) for name in "ab"])
    assert "Meyer" in render_board(board, tmp_path / "plain").read_text()
    render_board(hidden(board), tmp_path / "hidden")
    for path in (tmp_path / "hidden").rglob("*.*"):
        assert "Meyer" not in path.read_text()


def test_the_command_takes_every_run_below_a_folder_and_names_what_it_leaves_out(write_run, tmp_path):
    write_run("high", HIGH), write_run("low", LOW, status="failed")
    done = CliRunner().invoke(app, ["leaderboard", "--runs", str(tmp_path / "runs")])
    assert done.exit_code == 0, done.output
    assert "left out: low/" in done.stderr
    assert "leaderboard.html" in done.stdout
