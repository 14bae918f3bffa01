"""Results as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from rich.table import Table
from rich.text import Text

from vesselbench.data.codes import CODES
from vesselbench.data.findings import Finding, by_code
from vesselbench.plugins import PluginRecord

SHOWN = 10
"""Findings of one code that a terminal shows."""
_CURES = 3
_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    return table


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def summary_table(summary: dict[str, Any]) -> Table:
    """The scores of one set, beside the second observer's mean where there is one; the caption counts the empty masks,
    the answers that were not as wanted and the reasons of absent values.
    """
    keys = ("mean", "median", "group_mean", "pooled")
    rows = [
        [name, *(_number(value[key]) for key in keys), str(value["none"])] for name, value in summary["metrics"].items()
    ]
    title = f"{summary['set_name']}: {summary['images']} images, threshold {summary['threshold']:.2f}"
    columns = ["metric", "mean", "median", "of groups", "pooled", "none"]
    if human := summary.get("observer2"):
        columns.append(
            "second observer" if human["images"] == summary["images"] else f"second observer of {human['images']}"
        )
        rows = [[*row, _number(human["metrics"][row[0]]["mean"])] for row in rows]
    table = _table(title, columns, rows)
    table.columns[0].no_wrap = True
    table.caption = "empty masks: " + _counts(summary["cases"])
    if set(summary["statuses"]) - {"ok"}:
        table.caption += "\nanswers: " + _counts(summary["statuses"])
    accuracy = summary["metrics"].get("pixel_accuracy", {}).get("all_background")
    if accuracy is not None:
        table.caption += f"\npixel accuracy of predicting nothing: {accuracy:.4f}"
    for reason, names in _reasons(summary).items():
        table.caption += f"\nwithout value, {reason}: {', '.join(names)}"
    return table


def _reasons(summary: dict[str, Any]) -> dict[str, list[str]]:
    """Reason -> metrics that have no value for it, with the number of images."""
    found: dict[str, list[str]] = {}
    for name, value in summary["metrics"].items():
        for reason, count in value["reasons"].items():
            found.setdefault(reason, []).append(f"{name} {count}")
    return found


def convention_tables(summary: dict[str, Any]) -> list[Table]:
    """A table per convention that was asked for: the score under it, and what it changes."""
    tables = []
    for name, found in summary.get("conventions", {}).items():
        rows = []
        for metric, value in found["metrics"].items():
            effect = found["effect"][metric]
            rows.append((metric, _number(value), "none" if effect is None else f"{effect:+.4f}"))
        table = _table(f"convention {name}", ("metric", "score", "against the headline"), rows)
        table.caption = found["definition"]
        tables.append(table)
    return tables


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def findings_table(findings: Sequence[Finding]) -> Table | Text:
    """What a check found: errors first, one block for each code, of which at most `SHOWN` rows are printed."""
    if not findings:
        return Text("No fault was found.")
    table = Table("where", "what", title=_headline(findings), show_lines=False, expand=False)
    table.columns[0].overflow = table.columns[1].overflow = "fold"
    for number, (code, members) in enumerate(by_code(findings)):
        if number:
            table.add_section()
        severity = members[0].severity
        head = Text(f"{severity}: {code} ({len(members)})", style=_STYLES[severity])
        table.add_row(head, Text(CODES[code].meaning, style="italic"))
        for finding in members[:SHOWN]:
            table.add_row(Text(f"  {_where(finding)}"), Text(finding.reason))
        if len(members) > SHOWN:
            table.add_row(Text(f"  and {len(members) - SHOWN} more"), Text("--json and --html list all"))
        for cure in list(dict.fromkeys(finding.cure for finding in members))[:_CURES]:
            table.add_row(Text("  cure"), Text(cure))
    return table


def _where(finding: Finding) -> str:
    """File and index alone where the file's name says the sample."""
    if finding.sample and finding.sample == PurePosixPath(finding.file).stem:
        return f"{finding.file} {finding.index}".strip()
    return finding.where or "the data set"


def _headline(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    named = [(counts["error"], "errors"), (counts["warning"], "warnings"), (counts["info"], "facts")]
    return ", ".join(f"{count} {name.removesuffix('s') if count == 1 else name}" for count, name in named if count)


def plugins_table(records: Sequence[PluginRecord]) -> Table:
    """Installed plugins, what they register, and why one was left out."""
    rows = [
        (r.name, f"{r.distribution} {r.version}", "\n".join(r.hooks), r.error or "\n".join(r.registers))
        for r in records
    ]
    return _table("Plugins", ("name", "distribution", "hooks", "registers, or why it was left out"), rows)
