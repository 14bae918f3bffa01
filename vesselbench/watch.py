"""How long work tells what it is doing, without printing: the command line decides how it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Watch(Protocol):
    """Receives lines and progress. Ranks other than 0 are given `Silent`."""

    def line(self, text: str) -> None:
        """One line of information."""
        ...

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Lines of information that belong together: what, and its value."""
        ...

    def progress(self, task: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        """`done` of `total` units of `task` are done; `values` are shown beside it."""
        ...


class Silent:
    """A Watch that says nothing."""

    def line(self, text: str) -> None: ...

    def table(self, title: str, rows: Sequence[tuple[str, str]]) -> None: ...

    def progress(self, task: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None: ...
