"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from vesselbench.data.check import Finding
from vesselbench.planner import Plan
from vesselbench.plugins import PluginRecord


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    return table


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def summary_table(summary: dict[str, Any]) -> Table:
    """The scores of one set; the caption counts the empty masks."""
    rows = [
        (name, _number(value["mean"]), _number(value["median"]), str(value["none"]))
        for name, value in summary["metrics"].items()
    ]
    title = f"{summary['set_name']}: {summary['images']} images, threshold {summary['threshold']:.2f}"
    table = _table(title, ("metric", "mean", "median", "without value"), rows)
    table.caption = "empty masks: " + ", ".join(f"{case} {count}" for case, count in summary["cases"].items())
    return table


def findings_table(findings: Sequence[Finding]) -> Table:
    """What a check found."""
    rows = [(f.severity, f.code, f.where, f.reason, f.cure) for f in findings]
    return _table(f"{len(findings)} findings", ("severity", "code", "where", "what", "cure"), rows)


def plugins_table(records: Sequence[PluginRecord]) -> Table:
    """Installed plugins, what they register, and why one was left out."""
    rows = [
        (r.name, f"{r.distribution} {r.version}", "\n".join(r.hooks), r.error or "\n".join(r.registers))
        for r in records
    ]
    return _table("Plugins", ("name", "distribution", "hooks", "registers, or why it was left out"), rows)


def parts_table(plan: Plan) -> Table:
    """Parameters per part of a model."""
    rows = [(name, f"{total:,}", f"{trainable:,}") for name, (total, trainable) in plan.parts.items()]
    total, trainable = (sum(part[index] for part in plan.parts.values()) for index in (0, 1))
    rows.append(("in all", f"{total:,}", f"{trainable:,} ({trainable / total:.2%})"))
    return _table("Parameters", ("part", "in all", "trainable"), rows)


def stages_table(plan: Plan) -> Table:
    """Model states per process for every ZeRO stage."""
    rows = [
        (str(s.stage), *(f"{value / 2**20:,.1f}" for value in (s.weights, s.gradients, s.optimizer, s.total)))
        for s in plan.stages
    ]
    title = f"Model states in MiB per process ({plan.world} processes, {plan.precision}; activations not included)"
    return _table(title, ("ZeRO stage", "weights", "gradients", "optimizer", "in all"), rows)
