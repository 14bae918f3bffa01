"""CSV files that say something about samples: rows with their line numbers, and the samples that a row means."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vesselbench.data.findings import Fault, Place
from vesselbench.errors import UserError
from vesselbench.plugins import nearest
from vesselbench.types import Sample

DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Row:
    """One line of a CSV file: its cells by column name, blanks at both ends removed."""

    line: int
    cells: Mapping[str, str]


def read_rows(path: Path, needed: str, keys: Sequence[str]) -> list[Row]:
    """The rows of a CSV file (UTF-8; comma, semicolon or tab) with the column `needed` and at least one of `keys`.

    Further columns are kept and ignored by callers. Raises UserError with file and line for a file that is missing, is
    not UTF-8, has no rows, names a column twice or not at all, or has a row of another length.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}", "check the path") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}", "save it again as CSV UTF-8") from None
    first = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    lines = _lines(path, text, delimiter)
    _, names = next(lines, (1, []))
    names = [name.strip() for name in names]
    _check_names(path, names, needed, keys)
    rows = []
    for number, cells in lines:
        if len(cells) != len(names):
            raise UserError(f"{path} line {number} has {len(cells)} cells, its head {len(names)}", "mend that line")
        rows.append(Row(number, {name: cell.strip() for name, cell in zip(names, cells, strict=True)}))
    if not rows:
        raise UserError(f"{path} has no rows below its head", f"a row per sample: {', '.join(keys)} and {needed}")
    return rows


class SampleIndex:
    """Samples by id, by group and by the name of their image."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._by: dict[str, dict[str, list[Sample]]] = {"id": {}, "group": {}, "file": {}}
        for sample in samples:
            for key, value in (("id", sample.id), ("group", sample.group), ("file", sample.image.name)):
                self._by[key].setdefault(value, []).append(sample)

    def find(self, row: Row, keys: Sequence[str], path: Path) -> list[Sample]:
        """The samples that a row of `path` means: those that fit every one of `keys` that has a value in it.

        `id` is the sample's id, `group` its group, `file` the image's name or the end of its path. Raises UserError
        with file and line when nothing is named, nothing fits, or a `file` fits several images.
        """
        asked = {key: row.cells[key] for key in keys if row.cells.get(key)}
        if not asked:
            raise misfit(path, row, f"names nothing: {', '.join(keys)} are empty", "fill one of them in")
        found = self._fitting(*next(iter(asked.items())))
        for key, value in asked.items():
            fitting = {sample.id for sample in self._fitting(key, value)}
            found = [sample for sample in found if sample.id in fitting]
            if not found:
                said = ", ".join(f"{name} {text!r}" for name, text in asked.items())
                raise misfit(path, row, f"no sample has {said}", nearest(value, list(self._by[key])))
        images = {sample.image for sample in found}
        if "file" in asked and len(images) > 1:
            some = " and ".join(sorted(map(str, images))[:2])
            reason = f"file {asked['file']!r} fits {len(images)} images, {some}"
            raise misfit(path, row, reason, "write more of the path, or use id")
        return found

    def _fitting(self, key: str, value: str) -> list[Sample]:
        if key != "file":
            return self._by[key].get(value, [])
        wanted = value.replace("\\", "/").removeprefix("./").removeprefix("/")
        named = self._by["file"].get(wanted.rpartition("/")[2], [])
        return [sample for sample in named if f"/{sample.image.as_posix()}".endswith(f"/{wanted}")]


def misfit(path: Path, row: Row, reason: str, cure: str) -> Fault:
    """What is wrong with one row of `path`."""
    return Fault("table-unfit", Place(str(path), f"line {row.line}"), reason, cure)


def _lines(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):  # a blank line means nothing
                yield reader.line_num, cells
    except csv.Error as error:
        raise UserError(f"{path} line {reader.line_num} is not CSV: {error}", "mend that line") from None


def _check_names(path: Path, names: Sequence[str], needed: str, keys: Sequence[str]) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UserError(f"{path} names the column {doubled[0]!r} twice", "rename one of them")
    if needed not in names:
        raise UserError(f"{path} has no column {needed!r}; its head is {', '.join(names)!r}", f"add {needed!r}")
    if not set(keys) & set(names):
        raise UserError(f"{path} has none of the columns {', '.join(keys)}", "add the one that tells the samples apart")
