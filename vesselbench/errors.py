"""The one exception that reaches the user without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """A mistake the user can mend: what is wrong and where, then what mends it.

    The command line prints ``error: <message>`` and, when there is one, ``  try: <hint>`` on standard
    error and exits with code 2. Everything else that is raised is a defect and keeps its traceback.
    """

    everywhere = False
    """Whether every rank of a training raises it alike, so that rank 0 alone should report it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  try: {self.hint}" if self.hint else self.message
