"""What was changed in a mended copy: one file for machines, one for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vesselbench.data.findings import Finding, by_code
from vesselbench.data.fixing.rules import MENDED, Change
from vesselbench.data.folders import beside
from vesselbench.rundir import write_json, write_text

_LONGEST = 90


@dataclass
class Fixed:
    """What became of a data set. `left_out`: image file -> reason. `remaining`: findings of the copy."""

    folder: Path
    changes: list[Change] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    images: int = 0
    remaining: tuple[Finding, ...] = ()
    groups: str = ""
    """Name of the table of groups in the copy, where ``data.groups`` names one for the original."""

    def summary(self) -> str:
        """One line for a person."""
        machine, human = records_of(self.folder)
        table = f"; its groups: data.groups={self.folder / self.groups}" if self.groups else ""
        return (
            f"written: {self.folder} with {self.images} images; {len(self.changes)} changes, {len(self.left_out)} left "
            f"out: listed in {human} and, for machines, {machine}{table}"
        )


def records_of(folder: Path) -> tuple[Path, Path]:
    """Where the lists of changes of a mended copy lie: for machines, for people."""
    return beside(folder, "fix.json"), beside(folder, "fix.md")


def write_record(fixed: Fixed) -> None:
    """Write the JSON (every change with file, index, before and after) and the Markdown beside the copy."""
    machine, human = records_of(fixed.folder)
    record = {
        "rules": MENDED,
        "changes": [asdict(change) for change in fixed.changes],
        "left_out": fixed.left_out,
        "remaining": [asdict(finding) for finding in fixed.remaining],
    }
    write_json(machine, record)
    write_text(human, "\n".join(_lines(fixed)) + "\n")


def _lines(fixed: Fixed) -> Iterator[str]:
    yield f"# What was mended in {fixed.folder.name}"
    yield ""
    yield f"{fixed.images} images, {len(fixed.changes)} changes, {len(fixed.left_out)} images left out. "
    yield "The original data set was not touched. Places are those of the original files."
    counts = Counter(change.code for change in fixed.changes)
    for code, count in counts.items():
        yield ""
        yield f"## {code}: {count}"
        yield ""
        yield f"Rule: {MENDED[code]}."
        yield ""
        for change in fixed.changes:
            if change.code == code:
                yield f"- `{change.file}` `{change.index}`: {_short(change.before)} became {_short(change.after)}"
    if fixed.left_out:
        yield ""
        yield f"## Left out: {len(fixed.left_out)} images"
        yield ""
        for image, reason in fixed.left_out.items():
            yield f"- `{image}`: {reason}"
    if fixed.remaining:
        yield ""
        yield "## Left as it is"
        yield ""
        for code, members in by_code(fixed.remaining):
            yield f"- {len(members)} x {code} ({members[0].severity}), such as {members[0].where or 'the data set'}"


def _short(value: Any) -> str:
    if value is None:
        return "nothing (dropped)"
    text = json.dumps(value)
    more = f" ({len(value)} numbers)" if isinstance(value, list) and len(text) > _LONGEST else ""
    return f"`{text if len(text) <= _LONGEST else text[:_LONGEST] + '...'}`{more}"
