"""Zip files of others, opened with care: no path leaves the folder, no size is believed before it is counted."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vesselbench.errors import UserError

BROKEN = "ask for the bundle again"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Most files, bytes of all files together, bytes of one of them, and length of a path."""

    files: int = 200_000
    total: int = 64 << 30
    single: int = 4 << 30
    path: int = 400


@dataclass(frozen=True)
class Unpacked:
    """`paths` of the files that were written, sorted; `damaged`: path of an entry that could not be -> why."""

    paths: tuple[str, ...]
    damaged: Mapping[str, str]


def unpack(archive: Path, folder: Path, limits: Limits | None = None) -> Unpacked:
    """Write every file of a zip below the empty `folder`, but those whose content is not the one that was packed.

    Raises UserError for what is no zip, has no whole list of its files, or is encrypted, for a path that is absolute,
    has a part `..`, a drive, a backslash or a control character, for links and devices, for two entries of one path (on
    a system that ignores case, too), for a file where another entry needs a folder, and for more than the `limits`,
    counted while they are written.
    """
    limits = limits or Limits()
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            _check_names(entries, archive, limits)
            left, damaged = limits.total, {}
            for entry in entries:
                path = folder / entry.filename
                try:
                    left -= _write(opened, entry, path, min(left, limits.single), archive)
                except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
                    damaged[entry.filename] = str(error) or type(error).__name__
                    path.unlink(missing_ok=True)
    except FileNotFoundError:
        raise UserError(f"{archive} does not exist", "check the path") from None
    except IsADirectoryError:
        raise UserError(f"{archive} is a folder", "give the zip that `vesselbench bundle` has written") from None
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zipfile.LargeZipFile) as error:
        raise UserError(f"{archive} is not a whole zip file: {error}", BROKEN) from None
    return Unpacked(tuple(sorted(entry.filename for entry in entries if entry.filename not in damaged)), damaged)


def _check_names(entries: list[zipfile.ZipInfo], archive: Path, limits: Limits) -> None:
    if len(entries) > limits.files:
        raise UserError(f"{archive} holds {len(entries)} files, more than {limits.files}", BROKEN)
    seen: set[str] = set()
    for entry in entries:
        name, parts = entry.filename, PurePosixPath(entry.filename).parts
        odd = "\\" in name or ":" in name or any(ord(character) < 32 for character in name)
        if odd or name.startswith("/") or ".." in parts or len(name) > limits.path or not parts:
            raise UserError(f"{archive}: the path {name!r} is refused", BROKEN)
        mode = entry.external_attr >> 16
        if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
            raise UserError(f"{archive}: {name!r} is a link or a device, not a file", BROKEN)
        if entry.flag_bits & 1:
            raise UserError(f"{archive}: {name!r} is encrypted", BROKEN)
        plain = "/".join(parts).casefold()
        if plain in seen:
            raise UserError(f"{archive}: two files are called {name!r}", BROKEN)
        seen.add(plain)
    folders = {str(parent) for name in seen for parent in PurePosixPath(name).parents}
    if both := sorted(seen & folders):
        raise UserError(f"{archive}: {both[0]!r} is a file and a folder", BROKEN)


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, most: int, archive: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with opened.open(entry) as source, open(path, "xb") as target:
        while piece := source.read(CHUNK):
            written += len(piece)
            if written > most:
                raise UserError(f"{archive}: {entry.filename!r} is larger than {most:,} bytes", BROKEN)
            target.write(piece)
    return written
