"""Ending a training on request: after the step under way, saved, with an exit code of its own."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from types import FrameType, TracebackType

from vesselbench import distributed
from vesselbench.jobs import StoppedError, stop_signals


class Stop:
    """Takes the signals that ask to stop while it is open as a context. Until `at_a_step` they end the work at once.

    One rank may get the signal alone: `check` raises on all of them at the same step. A second SIGINT (Ctrl-C) ends the
    process at once, without saving.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._wait = False
        self._taking: AbstractContextManager[None] = stop_signals(self._take)

    def __enter__(self) -> Stop:
        self._taking.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taking.__exit__(None, None, None)

    def at_a_step(self) -> None:
        """From now on a signal waits until `check`: there is something to save."""
        self._wait = True

    def at_once(self) -> None:
        """From now on a signal ends the work where it is: nothing would be lost."""
        self._wait = False
        if self._names:
            raise StoppedError(self._names[0])

    def check(self) -> None:
        """Raise StoppedError on every rank when any got a signal; every rank must call it."""
        if distributed.agree(bool(self._names)):
            raise StoppedError(distributed.gather_rows(self._names[:1])[0], everywhere=True)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        name = signal.Signals(number).name
        if name == "SIGINT" and "SIGINT" in self._names:
            raise KeyboardInterrupt
        self._names.append(name)
        if not self._wait:
            raise StoppedError(name)
