"""Tables of runs for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.table import Table

from vesselbench.inventory import Listed, Removal

REASON = 60
"""Characters of the reason of a failure that a row shows; run.json has all of it."""


def runs_table(runs: Sequence[Listed], root: Path) -> Table:
    """One row per run, and their disk use in all."""
    total = sum(run.bytes for run in runs)
    table = Table(title=f"{len(runs)} runs below {root}, {size(total)}", title_justify="left", box=box.SIMPLE)
    for name in ("run", "status", "steps", "best", "size", "resume"):
        justify: Literal["left", "right"] = "right" if name in ("steps", "best", "size") else "left"
        table.add_column(name, justify=justify, no_wrap=name in ("run", "best"))
    for run in runs:
        steps = f"{run.steps_done}" if run.steps is None else f"{run.steps_done}/{run.steps}"
        best = "-" if run.best_score is None else f"{run.best_score:.4f}"
        name = "/".join(run.run.parts[-2:])
        beside = f" ({run.note})" if run.status == "interrupted" and run.note else ""
        reason = run.note.splitlines()[0][:REASON] if run.status in ("failed", "damaged") and run.note else ""
        status = f"{run.status}: {reason}" if reason else run.status
        table.add_row(name, status, steps, best, size(run.bytes), f"yes{beside}" if run.resumable else "-")
    return table


def removals_table(removals: Sequence[Removal]) -> Table:
    """What goes, with sizes."""
    total = sum(one.bytes for one in removals)
    table = Table(title=f"{len(removals)} to remove, {size(total)}", title_justify="left")
    table.add_column("run")
    table.add_column("what")
    table.add_column("size", justify="right")
    for one in removals:
        table.add_row("/".join(one.run.parts[-2:]), one.what, size(one.bytes))
    return table


def size(count: int) -> str:
    """Bytes in the unit that fits."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
