"""The data of a run as the report shows them: the sets, and what `data check` finds in them now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vesselbench.data.checking.check import Progress, check_data
from vesselbench.data.codes import CODES
from vesselbench.data.findings import by_code
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.recipes import validate_recipe
from vesselbench.report.tables import Cell, Table
from vesselbench.report.training.history import History


@dataclass(frozen=True)
class DataState:
    """`said`: where the findings come from; `findings`: a row per code, without a name of any sample."""

    said: str
    sets: Table
    findings: Table


NO_FINDINGS = Table(("finding", "meaning", "times", "cure"), ())


def unknown_data(said: str, history: History) -> DataState:
    """Findings that were not looked for; `said` is why."""
    return DataState(said, _sets(history), NO_FINDINGS)


def checked_data(history: History, catalogue: Catalogue, progress: Progress | None = None) -> DataState:
    """Run the check of `vesselbench data check` again on the data that the recipe names, as they are now."""
    try:
        recipe = validate_recipe(dict(history.config), catalogue)
        check = check_data(recipe.data, catalogue, progress=progress)
    except UserError as error:
        return unknown_data(f"The data could not be checked again: {error.message}", history)
    said = f"Checked again for this report, on the data as they are now: {check.summary()}."
    rows = []
    for code, members in by_code(check.findings):
        severity = members[0].severity
        head = Cell(code, severity, severity == "error")
        rows.append((head, Cell(CODES[code].meaning), Cell(str(len(members))), Cell(members[0].cure)))
    if not rows:
        said += " Nothing was found."
    return DataState(said, _sets(history), Table(NO_FINDINGS.columns, tuple(rows)))


def _sets(history: History) -> Table:
    told: Mapping[str, Any] = (history.record.get("accounting") or {}).get("sets") or {}
    rows = []
    for name, count in history.sets.items():
        more = told.get(name) or {}
        note = ", ".join(f"{more[key]:,} {key}" for key in ("images", "groups") if key in more)
        rows.append((Cell(name), Cell(f"{count:,}", note)))
    return Table(("set", "samples"), tuple(rows))
