"""What long work looks like on a terminal: bars there, plain lines elsewhere; always on standard error."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

QUIET_SECONDS = 10.0
"""Without a terminal, a line of progress at most this often, and one at the end."""


class ConsoleWatch:
    """A Watch on standard error. Use as a context: it takes its bars away again."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bars = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, int] = {}
        self._spoke: dict[str, float] = {}
        self._log = logging.getLogger("vesselbench")
        self._handler = _Lines(self)

    def __enter__(self) -> ConsoleWatch:
        self._log.addHandler(self._handler)
        quiet = os.environ.get("RANK", "0") != "0"  # the other ranks would say the same once more
        self._log.setLevel(logging.ERROR if quiet else logging.INFO)
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
        self._log.removeHandler(self._handler)

    def line(self, text: str) -> None:
        self._console.print(text, markup=False)

    def progress(self, task: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        note = "  ".join(f"{name} {value:.4g}" for name, value in (values or {}).items())
        if self._console.is_terminal:
            self._draw(task, done, total, note)
        else:
            self._say(task, done, total, note)

    def _draw(self, task: str, done: int, total: int, note: str) -> None:
        if task not in self._tasks:
            self._tasks[task] = self._bars.add_task(task, total=total, note=note)
        self._bars.update(self._tasks[task], completed=done, total=total, note=note)  # type: ignore[arg-type]
        if done >= total and task != "train":  # short work leaves the screen when it is done
            self._bars.remove_task(self._tasks.pop(task))  # type: ignore[arg-type]

    def _say(self, task: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if done < total and now - self._spoke.setdefault(task, now) < QUIET_SECONDS:
            return
        self._spoke[task] = now
        self.line(f"{task} {done}/{total}  {note}".rstrip())


class _Lines(logging.Handler):
    """What the package logs, as lines of the watch."""

    def __init__(self, watch: ConsoleWatch) -> None:
        super().__init__(logging.INFO)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        self._watch.line(prefix + record.getMessage())
