"""A training report as files: report.html (one self-contained file), report.md, plots/*.svg."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vesselbench.report import words
from vesselbench.report.drawings.drawn import Drawn
from vesselbench.report.page import templates
from vesselbench.report.svg import colour, standalone
from vesselbench.report.tables import Cell, Table, flat
from vesselbench.report.training import tables
from vesselbench.report.training.advice import next_steps
from vesselbench.report.training.dataset import DataState
from vesselbench.report.training.history import History
from vesselbench.report.training.judgement import RULES, judge
from vesselbench.report.training.plots import training_plots
from vesselbench.rundir import write_text


def render_training(history: History, folder: Path, data: DataState, *, pseudonymised: bool = False) -> Path:
    """Write the report into `folder` and return the path of its report.html.

    An older report there is replaced, file by file; nothing else in the folder is touched. Raises UserError when a
    file cannot be written.
    """
    plots = training_plots(history)
    view = _view(history, plots, data, pseudonymised)
    environment = templates()
    for plot in [plot for section in plots.values() for plot in section]:
        write_text(folder / "plots" / f"{plot.name}.svg", standalone(plot.svg))
    write_text(folder / "report.md", environment.get_template("training/report.md.j2").render(view))
    write_text(folder / "report.html", environment.get_template("training/report.html").render(view))
    return folder / "report.html"


def _view(history: History, plots: dict[str, list[Drawn]], data: DataState, pseudonymised: bool) -> dict[str, Any]:
    """Everything the two templates print."""
    findings = judge(history)
    return {
        "title": f"{history.record.get('recipe', 'training log')} · {history.label}",
        "history": history,
        "said": summary(history),
        "heroes": _heroes(history),
        "findings": findings,
        "rules": RULES,
        "plots": plots,
        "run": tables.run_table(history),
        "work": tables.work_table(history),
        "losses": tables.loss_table(history),
        "validations": tables.validation_table(history),
        "scores": tables.score_table(history),
        "checkpoints": tables.checkpoint_table(history),
        "parts": tables.part_table(history),
        "time": tables.time_table(history),
        "speed": tables.speed_table(history),
        "data": data,
        "settings": _settings(history.config),
        "versions": tables.plain_table([(k, str(v)) for k, v in (history.record.get("versions") or {}).items()]),
        "advice": next_steps(history, findings),
        "leaks": history.record.get("leaks") or [],
        "pseudonymised": pseudonymised,
        "made": time.strftime("%Y-%m-%d %H:%M"),
    }


def summary(history: History) -> str:
    """The training in a sentence or two: how much, how long, with what outcome."""
    work = history.work
    parts = []
    if work.optimizer_steps and work.samples:
        steps = "optimizer step" if work.optimizer_steps == 1 else "optimizer steps"
        each = f"{work.optimizer_steps:,} {steps} of {work.batch} {work.unit} = {work.samples:,} {work.unit}"
        passes = "" if work.passes is None else f" ({work.passes:.1f} passes over {work.training_set:,})"
        parts.append(each + passes)
    if history.seconds:
        parts.append(f"in {words.duration(history.seconds)}")
        if work.samples:
            processes = "1 process" if work.world in (None, 1) else f"all {work.world} processes together"
            parts.append(f"at {words.rate(work.samples / history.seconds)} {work.unit}/s over {processes}")
    sentence = " ".join(parts) + "."
    best, step = history.record.get("best_score"), history.record.get("best_step")
    if best is not None:
        sentence += f" Best validation {history.primary}: {best:.4f} after step {step:,}."
    ends = {
        "running": " It is still running, or was killed without a word: the report shows it so far.",
        "failed": " It failed before its end.",
        "interrupted": " It was interrupted before its end.",
    }
    return sentence + ends.get(history.status, "")


def _heroes(history: History) -> list[dict[str, Any]]:
    work = history.work
    last = history.rows[-1]
    best = history.record.get("best_score")
    chosen = [
        ("optimizer steps", words.or_absent(work.optimizer_steps, "{:,}".format), f"status: {history.status}"),
        (f"{work.unit} seen", words.or_absent(work.samples, "{:,}".format), _per_step(history)),
        ("training loss", words.or_absent(last.values.get("loss"), "{:.4f}".format), "the last logged value"),
        (
            f"validation {history.primary or 'score'}",
            words.or_absent(best, words.score),
            "best" if best is not None else "none was made",
        ),
    ]
    return [
        {
            "label": label,
            "value": value,
            "notes": [note],
            "kind": colour(place),
        }
        for place, (label, value, note) in enumerate(chosen)
    ]


def _per_step(history: History) -> str:
    return words.ABSENT if history.work.batch is None else f"{history.work.batch} per optimizer step"


def _settings(config: Mapping[str, Any]) -> Table:
    rows = tuple((Cell(key), Cell(words.setting(value))) for key, value in flat(config).items())
    return Table(("setting", "value"), rows)
