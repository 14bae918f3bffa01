"""Faults of a data set: raised one at a time when it is used, collected when it is checked.

A format reads each record under ``with each(place):`` and raises `Fault`. Ordinarily the first one goes up, as any
UserError. Within ``with collecting() as findings:`` it becomes a `Finding`, the record is dropped, and reading goes on.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from vesselbench.data.codes import CODES, Severity
from vesselbench.errors import UserError

log = logging.getLogger(__name__)
_WITH_INDEX = re.compile(r"(.+\.json) ((?:[a-z_]+)?\[\d+(?:, \d+)*\].*)", re.DOTALL)


@dataclass(frozen=True)
class Place:
    """Where something stands: a file as the user knows it, and the index within, such as ``annotations[12].bbox``."""

    file: str
    index: str = ""

    @classmethod
    def of(cls, where: Place | str) -> Place:
        """`where` itself, or a text such as ``Sample.origin``, taken apart where it names a JSON file and an index."""
        if isinstance(where, Place):
            return where
        match = _WITH_INDEX.fullmatch(where)
        return cls(match[1], match[2]) if match else cls(where)

    def key(self, name: str) -> Place:
        """The place of a mapping's key."""
        return Place(self.file, f"{self.index}.{name}" if self.index else name)

    def item(self, *numbers: int) -> Place:
        """The place of one or more items of a list."""
        return Place(self.file, f"{self.index}[{', '.join(map(str, numbers))}]")

    def __str__(self) -> str:
        return f"{self.file} {self.index}" if self.index else self.file


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing about a data set: what, how grave, where, why it matters, what mends it."""

    code: str
    """One of `vesselbench.data.codes.CODES`; stable."""
    severity: Severity
    file: str
    """Relative to the data set where it lies within; empty when the finding is about no single file."""
    index: str
    """Within the file, for example ``annotations[12].segmentation[0]``; may be empty."""
    reason: str
    cure: str
    sample: str = ""
    """Id of the sample concerned, or of its image when its target is not known yet; may be empty."""

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise KeyError(f"{self.code!r} is not in vesselbench.data.codes")

    @property
    def where(self) -> str:
        """Sample, file and index in one text, for tables and messages."""
        place = str(Place(self.file, self.index)).strip()
        return f"{self.sample} ({place})" if self.sample and place else self.sample or place


def found(code: str, place: Place | str, reason: str, cure: str, sample: str = "") -> Finding:
    """A Finding whose severity is the code's own; KeyError for a code that is not registered."""
    place = Place.of(place)
    return Finding(code, CODES[code].severity, place.file, place.index, reason, cure, sample)


class Fault(UserError):  # noqa: N818 - a fault of the data, not of the program
    """A UserError that knows its code and place, so that it can become a Finding. `where` may be a plain text."""

    def __init__(self, code: str, where: Place | str, reason: str, cure: str) -> None:
        super().__init__(f"{where}: {reason}" if str(where) else reason, cure)
        self.code, self.place, self.reason = code, Place.of(where), reason

    def __reduce__(self) -> tuple[Any, ...]:
        return Fault, (self.code, self.place, self.reason, self.hint)  # it travels from loader workers

    @property
    def file(self) -> str:
        """The file that is at fault."""
        return self.place.file

    @property
    def index(self) -> str:
        """The place within the file; may be empty."""
        return self.place.index

    def finding(self, sample: str = "") -> Finding:
        """The same as a value."""
        return found(self.code, self.place, self.reason, self.hint, sample)


def as_finding(error: UserError, file: str = "", sample: str = "", code: str = "refused") -> Finding:
    """Any UserError as a Finding: a Fault keeps its code and place, others get `code` and `file`."""
    if isinstance(error, Fault):
        return error.finding(sample)
    return found(code, file, error.message, error.hint, sample)


@dataclass
class _Ledger:
    forgiving: bool
    findings: list[Finding] = field(default_factory=list)


_open: ContextVar[_Ledger | None] = ContextVar("vesselbench_findings", default=None)


@contextmanager
def collecting() -> Iterator[list[Finding]]:
    """Within, faults of single records and warnings are listed instead of raised and logged.

    A UserError that leaves the block is listed, too, and ends it quietly: what was read until then stands. So a format
    that knows nothing of findings still yields one.
    """
    with _ledger(_Ledger(forgiving=True)) as ledger:
        try:
            yield ledger.findings
        except UserError as error:
            ledger.findings.append(as_finding(error))


@contextmanager
def tallying(unmentioned: Collection[str] = ()) -> Iterator[None]:
    """Within, faults are raised; warnings are counted and logged at the end of the block, one line for each code that
    is not `unmentioned`.

    Within `collecting` it does nothing: the findings go there.
    """
    outer = _open.get()
    if outer is not None and outer.forgiving:
        yield
        return
    with _ledger(_Ledger(forgiving=False)) as ledger:
        yield
    for code in dict.fromkeys(finding.code for finding in ledger.findings):
        if code in unmentioned:
            continue
        members = [finding for finding in ledger.findings if finding.code == code]
        log.log(_level(members[0]), "%s", _tally(members))


@contextmanager
def each(place: Place | str, sample: str = "") -> Iterator[None]:
    """Read one record within. While collecting, a UserError in it is listed and the block is left; else it goes up."""
    try:
        yield
    except UserError as error:
        ledger = _open.get()
        if ledger is None or not ledger.forgiving:
            raise
        known = isinstance(error, Fault)
        ledger.findings.append(
            as_finding(error, sample=sample) if known else found("refused", place, error.message, error.hint, sample)
        )


def refuse_each(code: str, places: Iterable[Place], reason: str, cure: str, summary: str) -> None:
    """One fault that several files share: a Finding for each while collecting, else one Fault with the `summary`."""
    ledger = _open.get()
    if ledger is None or not ledger.forgiving:
        raise Fault(code, "", summary, cure)
    ledger.findings += [found(code, place, reason, cure) for place in places]


def warn(code: str, place: Place | str, reason: str, cure: str, sample: str = "") -> None:
    """Report what is odd and does not stop the reading; outside of `collecting` and `tallying` it is logged at once."""
    finding = found(code, place, reason, cure, sample)
    ledger = _open.get()
    if ledger is None:
        log.log(_level(finding), "%s", _tally([finding]))
    else:
        ledger.findings.append(finding)


@contextmanager
def _ledger(ledger: _Ledger) -> Iterator[_Ledger]:
    token = _open.set(ledger)
    try:
        yield ledger
    finally:
        _open.reset(token)


def _level(finding: Finding) -> int:
    return logging.INFO if finding.severity == "info" else logging.WARNING


def _tally(members: list[Finding]) -> str:
    first = members[0]
    others = f" (and {len(members) - 1} more of this kind)" if len(members) > 1 else ""
    return f"{first.where}: {first.reason}{others} [{first.code}]"


def by_code(findings: Iterable[Finding]) -> list[tuple[str, list[Finding]]]:
    """(code, its findings) for each code that occurs: errors first, then warnings, then facts."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.code, []).append(finding)
    order = ("error", "warning", "info")
    return sorted(groups.items(), key=lambda item: order.index(item[1][0].severity))
