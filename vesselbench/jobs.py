"""What the processes of one job agree on: which of them reports an error, and with which code it ends."""

from __future__ import annotations

import getpass
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil

ERROR_LOCK = "VESSELBENCH_ERROR_LOCK"
"""Environment variable: a file that the first process to report an error makes."""

RUN_FILE = "VESSELBENCH_RUN_FILE"
"""Environment variable: a file into which a training writes the path of its run."""


STOPPED = 75
"""Exit code of a training that was asked to stop and has saved (EX_TEMPFAIL of sysexits.h: try again later)."""


INTERRUPTED = 130
"""Exit code of what Ctrl-C ended at once (128 and SIGINT's number, as shells have it)."""

STOP_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")
"""What asks a training to stop; a batch system sends SIGTERM, or what it is told to send some time before the end."""
Handler = Callable[[int, "FrameType | None"], None]


@contextmanager
def stop_signals(handler: Handler) -> Iterator[None]:
    """Context in which `handler` takes the `STOP_SIGNALS`; a signal that is ignored (SIGHUP by nohup) stays so."""
    before = {}
    if threading.current_thread() is threading.main_thread():  # Python takes signals nowhere else
        for number in (getattr(signal, name) for name in STOP_SIGNALS if hasattr(signal, name)):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


class StoppedError(Exception):
    """A training ends because it was asked to, by a signal."""

    def __init__(self, signal_name: str, everywhere: bool = False) -> None:
        self.signal_name = signal_name
        self.everywhere = everywhere
        """Whether every rank raises it alike."""
        self.hint = ""
        super().__init__(f"stopped by {signal_name}")


class LaunchError(Exception):
    """A started process failed. `silent`: a signal ended it, so it could not say why; else it has said so itself."""

    def __init__(self, code: int) -> None:
        self.silent = code < 0
        self.code = 1 if self.silent else code
        how = f"was ended by signal {-code} (9: most often for want of memory)" if self.silent else f"ended with {code}"
        super().__init__(f"a training process {how}")


def is_rank() -> bool:
    """Whether a launcher started this process as one of several."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_first() -> bool:
    """Whether this process is the only one, or rank 0 of those that a launcher started."""
    return not is_rank() or os.environ["RANK"] == "0"


def without_launchers_words(words: list[str]) -> list[str]:
    """A command line without the deepspeed launcher's own word (``--local_rank=0``; LOCAL_RANK says the same)."""
    return [word for place, word in enumerate(words) if not (place == 1 and word.startswith("--local_rank="))]


def may_speak(everywhere: bool = False) -> bool:
    """Whether this process is the first of its job, on this machine, to report an error.

    Under another launcher than vesselbench's own, rank 0 reports what all raise (`everywhere`); of the rest each
    machine reports once.
    """
    lock = os.environ.get(ERROR_LOCK)
    if lock is None and (not is_rank() or everywhere):
        return is_first()
    try:
        os.close(os.open(lock or _lock_of_launcher(), os.O_CREAT | os.O_EXCL))
    except FileExistsError:  # another rank was first
        return False
    except OSError:  # the job is being cleared away; or, without a lock of our own, nothing can be written
        return lock is None
    return True


def _lock_of_launcher() -> str:
    """A file that is the same for all ranks on this machine that one launcher started, and for no others.

    They have the parent in common, and torchrun's count of its restarts. An empty file stays in the temporary folder.
    """
    parent = psutil.Process().parent()
    begun = f"{parent.pid}-{parent.create_time():.2f}" if parent is not None else "orphan"
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    folder = Path(tempfile.gettempdir()) / f"vesselbench-{getpass.getuser()}"
    with suppress(OSError):
        folder.mkdir(mode=0o700)
    return str(folder / f"said-{begun}-{again}")


def end(code: int) -> NoReturn:
    """End this process.

    A rank of a launched job ends at once: threads of a process group that was never closed (after a failure, closing
    would need the other ranks), or that a library keeps, would otherwise abort the interpreter while it clears up (one
    failure of five, measured), and the code that the starter sees would be the abort's.
    """
    if is_rank():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
