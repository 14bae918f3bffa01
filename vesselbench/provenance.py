"""Where a run came from: versions, source revision, command."""

from __future__ import annotations

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
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", str(folder.parent))
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changed else "")


def command_line() -> str:
    """The command as it can be typed again."""
    return shlex.join(["vesselbench", *sys.argv[1:]])


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()
