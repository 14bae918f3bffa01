"""Ending a training on request: after the step under way, saved, with an exit code of its own."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FrameType, TracebackType

from vesselbench import distributed
from vesselbench.jobs import StoppedError, stop_signals

ONE_PRESS = 0.5
"""Seconds within which a second SIGINT is the same Ctrl-C: the terminal sends it to every process, and the starter of
several processes passes it on to them once more."""


class Stop:
    """Takes the signals that ask to stop while it is open as a context. Until `wait_for_checks` they end the work where
    it is.

    One rank may get the signal alone: `check` raises on all of them at the same step. A second SIGINT (Ctrl-C) ends the
    process at once, without saving. `say` tells the user what is going to happen.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._names: list[str] = []
        self._pressed = 0.0
        self._wait = False
        self._taking: AbstractContextManager[None] = stop_signals(self._take)

    def __enter__(self) -> Stop:
        self._taking.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taking.__exit__(None, None, None)

    def wait_for_checks(self) -> None:
        """From now on a signal waits until `check`: there is something to save, and code that takes any exception for
        its own (MONAI's sliding window calls it want of memory) must not meet with this one."""
        self._wait = True

    def check(self) -> None:
        """Raise StoppedError on every rank when any got a signal; every rank must call it."""
        if distributed.agree(bool(self._names)):
            raise StoppedError(distributed.gather_rows(self._names[:1])[0], everywhere=True)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        name, now = signal.Signals(number).name, time.monotonic()
        if name == "SIGINT" and "SIGINT" in self._names:
            if now - self._pressed < ONE_PRESS:
                return
            raise KeyboardInterrupt
        if name == "SIGINT":
            self._pressed = now
        self._names.append(name)
        if not self._wait:
            raise StoppedError(name)
        if len(self._names) == 1:
            self._say(f"{name}: saving after the step under way, then ending; Ctrl-C once more ends at once, unsaved")
