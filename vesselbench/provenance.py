"""Where a run came from: versions, source revision, command."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "vesselbench",
    "torch",
    "deepspeed",
    "transformers",
    "peft",
    "monai",
    "pycocotools",
    "numpy",
    "scipy",
    "scikit-image",
    "pillow",
)


def versions() -> dict[str, str]:
    """Version of Python and of every package that a result can depend on; "absent" for one that is not installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def source_revision() -> str | None:
    """The git commit of this source tree, with "+changes" when it was modified; None outside a checkout."""
    folder = Path(__file__).resolve().parent
    if not (folder.parent / "pyproject.toml").is_file():  # installed: a repository around it is somebody else's
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", str(folder.parent))
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changed else "")


OUTER_COMMAND = "VESSELBENCH_COMMAND"
"""Environment variable: the command that the user typed, for processes that it starts."""


def command_line() -> str:
    """The command as the user typed it, also in a process that this command started."""
    return os.environ.get(OUTER_COMMAND) or shlex.join(["vesselbench", *sys.argv[1:]])


def started_by_another() -> bool:
    """Whether another vesselbench command started this process, and will say itself what came of it."""
    return OUTER_COMMAND in os.environ


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()
