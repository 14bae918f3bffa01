"""Folders that are complete or absent: filled under another name beside their own, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vesselbench.errors import UserError


def free_folder(folder: Path, sources: Sequence[Path] = (), records: Sequence[Path] = ()) -> Path:
    """`folder` absolute; UserError unless it is new or empty, lies beside `sources`, and none of `records` is there."""
    folder = folder.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty", "name a folder that does not exist yet")
    for record in records:
        if record.exists():
            raise UserError(f"{record} exists already", "name another folder, or remove it")
    for source in sources:
        inside, outside = folder.resolve(), source.expanduser().resolve()
        if inside.is_relative_to(outside) or outside.is_relative_to(inside):
            raise UserError(f"{folder} and {source} lie in one another", "name a folder beside the data set")
    return folder


def beside(folder: Path, ending: str) -> Path:
    """``FOLDER.ending``, where what is told of a copy lies: a format may read every JSON file within."""
    folder = folder.expanduser().absolute()
    return folder.with_name(f"{folder.name}.{ending}")


@contextmanager
def whole_folder(folder: Path, records: Sequence[Path] = ()) -> Iterator[Path]:
    """A folder to fill, which gets the name `folder` (new or empty) at the end of the block.

    When the block fails, the draft is removed and so are `records`, files that the block writes beside `folder`.
    UserError for what the disk refuses.
    """
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        yield draft
        if folder.is_dir():
            folder.rmdir()
        draft.rename(folder)
    except BaseException as error:
        for path in records:
            with suppress(NotADirectoryError):  # what was to hold the folder is a file: nothing was written
                path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f"cannot write {folder}: {error.strerror or error}", "choose another folder") from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def cached_folder(folder: Path, cure: str) -> Iterator[Path]:
    """A folder to fill for a cache, which becomes `folder` at the end of the block.

    Where another process was faster, with the same content, its folder stands. UserError with `cure` for what the disk
    refuses.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise UserError(f"cannot write below {folder.parent}: {error.strerror or error}", cure) from error
    try:
        yield temporary
        temporary.rename(folder)
    except OSError as error:
        if not folder.is_dir():
            raise UserError(f"cannot write {folder}: {error.strerror or error}", cure) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def user_cache() -> Path:
    """``vesselbench`` below $XDG_CACHE_HOME, else below ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vesselbench"
