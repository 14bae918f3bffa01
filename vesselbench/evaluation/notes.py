"""Lines about images that are done, so that work which was stopped goes on where it was: on one process or several."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar

from vesselbench.distributed import on_first, rank
from vesselbench.errors import UserError
from vesselbench.rundir import append_jsonl, part_name, parts_of, write_jsonl

log = logging.getLogger(__name__)
ITEM = TypeVar("ITEM")


class Notes(Generic[ITEM]):
    """One line for each image in `folder`, in a file of each process, below a first line that says what it is of.

    Every rank must make it. Rank 0 reads what all ranks of the work before have left, however many they were; what was
    noted of something else (an unlike `key`) is forgotten. `before`: what is taken over, by id, the same on every
    rank. ITEM is a dataclass; `parse` makes one of the value of a line, by the id of its image, or None, after it has
    said why, of one that does not count. UserError, on every rank, when the folder cannot be read or written.
    """

    def __init__(
        self, folder: Path, name: str, key: Mapping[str, Any], parse: Callable[[Any], tuple[str, ITEM] | None]
    ) -> None:
        self._folder, self._name, self._parse, self._lock = folder, name, parse, threading.Lock()
        self._head = {"key": json.loads(json.dumps(key))}
        self._path = folder / part_name(name, rank())
        self.before: dict[str, ITEM] = on_first(self._taken_over)
        if rank() != 0:
            write_jsonl(self._path, [self._head])
        elif self.before:
            log.info("%d images of %s were done before it was stopped; it goes on", len(self.before), folder)

    def add(self, item: ITEM) -> None:
        """Note an image, from any thread."""
        with self._lock:
            append_jsonl(self._path, asdict(item))  # type: ignore[call-overload]

    def _taken_over(self) -> dict[str, ITEM]:
        try:
            return self._take_over()
        except OSError as error:  # on rank 0 alone; as the user's error all ranks end with it
            raise UserError(f"cannot use {error.filename}: {error.strerror}", "see to its permissions") from error

    def _take_over(self) -> dict[str, ITEM]:
        """Read all files and write what counts into one; only then the others go, so that a kill here loses nothing."""
        found: dict[str, ITEM] = {}
        files = parts_of(self._folder, self._name)
        for path in files:
            found.update(self._read(path))
        write_jsonl(self._path, [self._head, *(asdict(item) for item in found.values())])  # type: ignore[call-overload]
        for path in files:
            if path != self._path:
                path.unlink()
        return found

    def _read(self, path: Path) -> dict[str, ITEM]:
        head, *lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        if _value(head) != self._head:
            return {}
        found = {}
        for number, line in enumerate(lines, 2):
            value = _value(line)
            if value is None:
                continue
            try:
                item = self._parse(value)
            except (KeyError, TypeError) as error:
                log.warning("%s line %d is damaged (%r): that image is predicted again", path, number, error)
                continue
            if item is not None:
                found[item[0]] = item[1]
        return found


def _value(line: str) -> Any:
    """The line's value; None for the half line that a killed process leaves, and for the end of the file."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
