"""A folder of results that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vesselbench.errors import UserError


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A draft beside `folder` that takes its name when all is written and vanishes when something fails.

    Raises UserError when the folder exists already or cannot be made.
    """
    if folder.exists():
        raise UserError(f"{folder} exists already", "name a folder that does not exist yet")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        yield draft
        os.replace(draft, folder)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror or error}", "choose another folder") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
