"""A training without names: what a report of it may show to others."""

from __future__ import annotations

import secrets
from dataclasses import replace

from vesselbench.report.pseudonyms import Names, settings_without_names
from vesselbench.report.tables import Table
from vesselbench.report.training.dataset import DataState
from vesselbench.report.training.history import History


def without_names(history: History) -> History:
    """Withheld: data settings, ``train.deepspeed``, the command line, the reason of a failure (it may name samples) and
    the folder of a log; names of weight files become hashes, other ones at each call."""
    names = Names({}, {}, secrets.token_bytes(16))
    record = dict(history.record)
    if record:
        files = {names.file(str(path)): digest for path, digest in (record.get("base_weights") or {}).items()}
        record |= {"command": None, "reason": None, "base_weights": files}
    config = settings_without_names(history.config, names) if history.config else {}
    source = history.source if record else "withheld"
    return replace(history, record=record, config=config, source=source, label=history.label if record else "log")


def hidden_state(state: DataState) -> DataState:
    """Findings by code and number alone: a cure may name a file, and so may the reason why nothing could be checked."""
    findings = Table(state.findings.columns[:-1], tuple(row[:-1] for row in state.findings.rows))
    said = "Checked again for this report." if state.findings.rows else "No finding, or the data could not be checked."
    return replace(state, said=said, findings=findings)
