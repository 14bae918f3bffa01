"""What the processes of one job agree on: which of them reports an error, and with which code it ends."""

from __future__ import annotations

import os

ERROR_LOCK = "VESSELBENCH_ERROR_LOCK"
"""Environment variable: a file that the first process to report an error makes."""


class LaunchError(Exception):
    """A started process failed; it has said why. `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a process ended with code {code}")
        self.code = code


def may_speak() -> bool:
    """Whether this process is the first of its job to report an error."""
    lock = os.environ.get(ERROR_LOCK)
    if lock is None:
        return True
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    except OSError:  # another rank was first, or the job is being cleared away
        return False
    return True
