"""What long work looks like on a terminal: bars and live values there, plain lines elsewhere; on standard error."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from vesselbench.quantities import duration, rate, size

QUIET_SECONDS = 10.0
"""Without a terminal, a line of progress at most this often, and one at the end."""
COURSE = 24
"""Newest values of the loss that are drawn."""
BLOCKS = "▁▂▃▄▅▆▇█"
NAMES = {
    "loss": ("loss", "{:.4f}".format),
    "lr": ("lr", "{:.2e}".format),
    "samples_per_second": ("samples/s", rate),
    "peak_memory_bytes": ("memory", size),
}
"""Values that have a name of their own on a screen, and how they are written."""


class ConsoleWatch:
    """A Watch on standard error. Use as a context: it takes its bars away again."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Progress(*columns, console=self._console)
        self._tasks: dict[str, int] = {}
        self._begun: dict[str, tuple[float, int]] = {}
        self._spoke: dict[str, float] = {}
        self._values: Mapping[str, float] = {}
        self._course: deque[float] = deque(maxlen=COURSE)
        self._live = Live(get_renderable=self._view, console=self._console, refresh_per_second=4, transient=True)
        self._log = logging.getLogger("vesselbench")
        self._handler = _Lines(self)

    def __enter__(self) -> ConsoleWatch:
        self._log.addHandler(self._handler)
        quiet = os.environ.get("RANK", "0") != "0"  # the other ranks would say the same once more
        self._log.setLevel(logging.ERROR if quiet else logging.INFO)
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()
        self._log.removeHandler(self._handler)

    def line(self, text: str) -> None:
        self._console.print(text, markup=False)

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        if not self._console.is_terminal:
            for name, value in rows:
                self.line(f"{name}: {value}")
            return
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            table.add_row(Text(name), Text(value))
        self._console.print(table, soft_wrap=False)

    def progress(self, task: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        if values:
            self._values = values
            self._course.append(values.get("loss", 0.0))
        if self._console.is_terminal:
            self._draw(task, done, total)
        else:
            self._say(task, done, total, values or {})

    def _view(self) -> Group:
        """The bars, and below them the newest values of the training."""
        if not self._values:
            return Group(self._bars)
        grid = Table.grid(padding=(0, 3))
        shown = {key: NAMES.get(key, (key, "{:.4g}".format)) for key in self._values}
        grid.add_row(*(Text(name, style="dim") for name, _ in shown.values()), Text("newest losses", style="dim"))
        told = [write(self._values[key]) for key, (_, write) in shown.items()]
        grid.add_row(*(Text(value, style="bold") for value in told), Text(spark(self._course)))
        return Group(self._bars, grid)

    def _draw(self, task: str, done: int, total: int) -> None:
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(task, total=total)
        self._bars.update(self._tasks[task], completed=done, total=total)  # type: ignore[arg-type]
        if done >= total and task != "train":  # short work leaves the screen when it is done
            self._bars.remove_task(self._tasks.pop(task))  # type: ignore[arg-type]

    def _say(self, task: str, done: int, total: int, values: Mapping[str, float]) -> None:
        now = time.monotonic()
        begun, first = self._begun.setdefault(task, (now, done))
        if done < total and now - self._spoke.setdefault(task, now) < QUIET_SECONDS:
            return
        self._spoke[task] = now
        notes = []
        for key, value in values.items():
            name, write = NAMES.get(key, (key, "{:.4g}".format))
            notes.append(f"{name} {write(value)}")
        if values and first < done < total:
            notes.append(f"eta {duration((now - begun) / (done - first) * (total - done))}")
        self.line(f"{task} {done}/{total}  {'  '.join(notes)}".rstrip())


def spark(values: Sequence[float] | deque[float]) -> str:
    """Values as a line of blocks, the lowest one the smallest."""
    low, high = min(values), max(values)
    steps = [round((value - low) / (high - low) * (len(BLOCKS) - 1)) if high > low else 0 for value in values]
    return "".join(BLOCKS[step] for step in steps)


class _Lines(logging.Handler):
    """What the package logs, as lines of the watch."""

    def __init__(self, watch: ConsoleWatch) -> None:
        super().__init__(logging.INFO)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        self._watch.line(prefix + record.getMessage())
