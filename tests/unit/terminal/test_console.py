"""What a user sees while something runs: live values on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import logging
import time

import pytest
from rich.console import Console

from vesselbench.terminal.console import BLOCKS, ConsoleWatch, spark

VALUES = {"loss": 0.51234, "lr": 1e-3, "samples_per_second": 12.34, "peak_memory_bytes": 3 * 2**30}


def screen(terminal: bool) -> tuple[ConsoleWatch, io.StringIO]:
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=100, highlight=False, color_system=None)
    return ConsoleWatch(console), written


def test_without_a_terminal_progress_is_a_line_at_most_every_ten_seconds_and_one_at_the_end(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch, written = screen(terminal=False)
    with watch:
        for step in range(1, 11):
            now[0] += 2.0
            watch.progress("train", step, 10, VALUES)
    lines = written.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["6/10", "10/10"]
    assert lines[0] == "train 6/10  loss 0.5123  lr 1.00e-03  samples/s 12.3  memory 3 GiB  eta 8 s"
    assert "eta" not in lines[1]


def test_on_a_terminal_the_newest_values_stand_below_the_bar():
    watch, written = screen(terminal=True)
    with watch:
        for step in range(1, 4):
            watch.progress("train", step, 10, {**VALUES, "loss": 1 / step})
        watch._live.refresh()
        shown = written.getvalue()
    for text in ("3/10", "loss", "0.3333", "lr", "1.00e-03", "samples/s", "12.3", "memory", "3 GiB", "newest losses"):
        assert text in shown
    assert "█▃▁" in shown


def test_a_table_is_a_table_on_a_terminal_and_lines_elsewhere():
    rows = [("optimizer steps", "459"), ("samples seen", "14,688 [of them]")]
    for terminal in (True, False):
        watch, written = screen(terminal)
        with watch:
            watch.table("Before the first step", rows)
        shown = written.getvalue()
        assert ("Before the first step" in shown) is terminal
        assert ("optimizer steps: 459\nsamples seen: 14,688 [of them]\n" in shown) is not terminal
        assert "14,688 [of them]" in shown


@pytest.mark.parametrize(("values", "line"), [([1.0], "▁"), ([1.0, 1.0], "▁▁"), ([0.0, 1.0], BLOCKS[0] + BLOCKS[-1])])
def test_a_course_of_values_is_a_line_of_blocks(values, line):
    assert spark(values) == line


def test_a_rank_other_than_0_says_nothing_but_errors(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    watch, written = screen(terminal=False)
    with watch:
        logging.getLogger("vesselbench.some").warning("said once already")
        logging.getLogger("vesselbench.some").error("this one is new")
    assert written.getvalue() == "error: this one is new\n"
