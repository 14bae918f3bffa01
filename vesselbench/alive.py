"""Whether the process that works on a run is still there.

On the machine and since the start of the system that the run names, the process itself is looked for. Elsewhere (a
shared disk) only a sign of life can be seen: a file that the process touches every few seconds.
"""

from __future__ import annotations

import fcntl
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from vesselbench.errors import UserError
from vesselbench.rundir import RunDir

BEAT = 15.0
"""Seconds between two signs of life."""
SILENT = 8 * BEAT
"""Seconds without a sign of life after which a process on another machine counts as gone."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> dict[str, Any]:
    """What tells this process from every other one: pid, its start, the machine and its start."""
    own = psutil.Process()
    boot = BOOT_ID.read_text().strip() if BOOT_ID.is_file() else str(int(psutil.boot_time()))
    return {"pid": own.pid, "started": own.create_time(), "host": socket.gethostname(), "boot": boot}


def is_alive(run: RunDir, record: Mapping[str, Any]) -> bool:
    """Whether the process of a run that says it is running is there (on another machine: has given a sign lately)."""
    process = record.get("process")
    if record.get("status") != "running" or not isinstance(process, dict):
        return False
    here = this_process()
    if process.get("host") != here["host"]:
        return time.time() - last_sign(run) < SILENT
    if process.get("boot") != here["boot"]:
        return False
    try:
        found = psutil.Process(int(process["pid"]))
        started, dead = found.create_time(), found.status() == psutil.STATUS_ZOMBIE  # ended, and not yet waited for
    except (psutil.NoSuchProcess, psutil.AccessDenied, KeyError, ValueError):
        return False
    return not dead and bool(abs(started - float(process["started"])) < 1.0)


def last_sign(run: RunDir) -> float:
    """When the run's process last gave a sign of life (seconds since 1970; 0: never)."""
    return run.sign_of_life.stat().st_mtime if run.sign_of_life.is_file() else 0.0


def status_of(run: RunDir, record: Mapping[str, Any]) -> str:
    """The status in run.json, but "interrupted" for a run whose process has gone without a word."""
    status = str(record.get("status"))
    return "interrupted" if status == "running" and not is_alive(run, record) else status


def claim(run: RunDir) -> None:
    """Make this process the one that works on a run; UserError when another one is at it."""
    with open(run.path / ".claim", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that start at once go through here one after the other
        record = run.record()
        process = record.get("process", {})
        if is_alive(run, record) and process != this_process():
            raise UserError(
                f"{run.path} is being trained by process {process.get('pid')} on {process.get('host')}",
                "wait for it, or end it (it saves first): kill " + str(process.get("pid")),
            )
        run.update(status="running", reason=None, process=this_process())


@contextmanager
def signs_of_life(run: RunDir | None) -> Iterator[None]:
    """Context in which the run's sign of life is touched every `BEAT` seconds; None: nothing is done."""
    if run is None:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(run.sign_of_life, over.wait), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _beat(path: Path, wait: Callable[[float], bool]) -> None:
    while True:
        with suppress(OSError):  # a full or absent disk ends the training where it writes, with a message
            path.touch()
        if wait(BEAT):
            return
