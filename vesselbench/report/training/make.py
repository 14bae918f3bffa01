"""From a run folder or a log to the files of its report."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from vesselbench.plugins import Catalogue
from vesselbench.report.training.dataset import checked_data, unknown_data
from vesselbench.report.training.foreign import LogFacts, read_log
from vesselbench.report.training.hidden import hidden_state, without_names
from vesselbench.report.training.history import History, read_run
from vesselbench.report.training.render import render_training
from vesselbench.rundir import RunDir, fresh_path
from vesselbench.watch import Watch


def report_run(
    run: RunDir, to: Path | None, catalogue: Catalogue, watch: Watch, *, data: bool = True, pseudonymised: bool = False
) -> tuple[History, Path]:
    """Write the report into the run's own folder ``report``, or a new one below `to`; returns its report.html.

    `data`: check the run's data again. Raises UserError as `read_run` and `render_training`.
    """
    history = read_run(run)
    if data:
        state = checked_data(history, catalogue, partial(watch.progress, "check"))
    else:
        state = unknown_data("The data were not checked again (--no-data).", history)
    if pseudonymised:
        history = without_names(history)
        state = hidden_state(state)
    folder = run.report if to is None else fresh_path(to, "training")
    return history, render_training(history, folder, state, pseudonymised=pseudonymised)


def report_log(log: Path, facts: LogFacts, to: Path, *, pseudonymised: bool = False) -> tuple[History, Path]:
    """Write the report of another program's log into a new folder below `to`; UserError as `read_log`."""
    history = read_log(log, facts)
    if pseudonymised:
        history = without_names(history)
    state = unknown_data("A log says nothing of its data.", history)
    return history, render_training(history, fresh_path(to, "training"), state, pseudonymised=pseudonymised)
