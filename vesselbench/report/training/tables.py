"""The tables of a training report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from vesselbench.report import words
from vesselbench.report.tables import Cell, Table
from vesselbench.report.training.history import TOTAL, History, Row

MOST_ROWS = 10
PHASES = (
    ("data", "waiting for data"),
    ("forward", "forward"),
    ("backward", "backward"),
    ("optimizer", "optimizer and communication"),
    ("validation", "validations"),
    ("saving", "checkpoints"),
    ("logging", "logging"),
    ("start", "start"),
    ("smoke test", "validation of one image"),
)
"""Keys of `time_split` of run.json, and what they are."""


def plain_table(lines: Sequence[tuple[str, str]], heads: tuple[str, str] = ("", "")) -> Table:
    """Two columns; lines whose value is absent are left out."""
    return Table(heads, tuple((Cell(name), Cell(value)) for name, value in lines if value != words.ABSENT))


def run_table(history: History) -> Table:
    """What was trained, where and how."""
    record = history.record
    gone = words.ABSENT
    lines = [
        ("source", history.source),
        ("status", history.status),
        ("why", str(record.get("reason") or gone)),
        ("recipe", str(record.get("recipe") or gone)),
        ("model", str(record.get("model") or gone)),
        ("started from", _start(record)),
        ("begun", str(record.get("started") or gone)),
        ("finished", str(record.get("finished") or gone)),
        ("device", str(record.get("device") or gone)),
        ("processes", words.or_absent(history.work.world, str)),
        ("ZeRO stage", words.or_absent(record.get("zero_stage"), str)),
        ("arithmetic", str(record.get("precision") or gone)),
        ("optimizer", str(record.get("optimizer") or gone)),
        ("seed", words.or_absent(record.get("seed"), str)),
        ("parameters", _parameters(record)),
        ("source tree", str(record.get("git") or gone)),
        ("command", str(record.get("command") or gone)),
    ]
    return plain_table(lines)


def _start(record: Mapping[str, Any]) -> str:
    if not record:
        return words.ABSENT
    files = record.get("base_weights") or {}
    if not files:
        return "random weights"
    return ", ".join(f"{path} ({words.short_hash(digest)})" for path, digest in files.items())


def _parameters(record: Mapping[str, Any]) -> str:
    counts = record.get("parameters") or {}
    if not counts.get("total"):
        return words.ABSENT
    total, trainable = counts["total"], counts["trainable"]
    return f"{total:,}, of which {trainable:,} trained ({trainable / total:.2%}); counted whole"


def work_table(history: History) -> Table:
    """How much was done, in words that cannot be mixed up."""
    work, unit = history.work, history.work.unit
    planned = work.planned_steps
    of = f" of {planned:,} planned" if planned and work.optimizer_steps != planned else ""
    passes = work.passes
    epochs = work.samples / work.epochs if work.epochs and work.samples else None
    lines = [
        ("optimizer steps", words.or_absent(work.optimizer_steps, lambda n: f"{n:,}{of}")),
        ("one step is", _batch(history)),
        ("micro-batches per process", words.or_absent(work.micro_batches, "{:,}".format)),
        (f"{unit} seen", words.or_absent(work.samples, "{:,}".format)),
        (f"{unit} of the training set", words.or_absent(work.training_set, "{:,}".format)),
        ("passes over the training set", words.or_absent(passes, "{:.1f}".format)),
        ("epochs, as the log counts them", words.or_absent(work.epochs, str)),
        (f"{unit} per such epoch", words.or_absent(epochs, "{:,.0f}".format)),
        ("training time", words.or_absent(history.seconds, words.duration)),
    ]
    return plain_table(lines)


def _batch(history: History) -> str:
    work = history.work
    if work.batch is None:
        return words.ABSENT
    if None in (work.world, work.micro_batch, work.accumulation):
        return f"{work.batch} {work.unit}"
    processes = "process" if work.world == 1 else "processes"
    return (
        f"{work.batch} {work.unit} = {work.world} {processes} × {work.micro_batch} per micro-batch × "
        f"{work.accumulation} accumulated"
    )


def loss_table(history: History) -> Table:
    """Every loss at the start, at the logged step nearest to the end of each epoch, and at the end."""
    losses = history.losses()
    rows = []
    for name, row in _marks(history):
        place = f"{history.counted} {row.logged:,}"
        note = "" if row.step == row.logged else f"optimizer step {row.step:g}"
        cells = [Cell(words.or_absent(row.values.get(loss), "{:.4f}".format)) for loss in losses]
        rows.append((Cell(name, f"{place}{f', {note}' if note else ''}"), *cells))
    first, last = history.rows[0].values, history.rows[-1].values
    rows.append((Cell("change", "first to last"), *(Cell(_change(first.get(n), last.get(n))) for n in losses)))
    return Table(("", *("total" if name == TOTAL else name for name in losses)), tuple(rows))


def _change(first: float | None, last: float | None) -> str:
    return words.ABSENT if first is None or last is None or not first else f"{last / first - 1:+.1%}"


def _marks(history: History) -> list[tuple[str, Row]]:
    marks = [("start", history.rows[0])]
    length = history.epoch_steps()
    if length:
        count = int(history.rows[-1].step / length + 1e-9)
        chosen = range(1, count + 1)
        if count > MOST_ROWS:
            chosen = range(count // MOST_ROWS, count + 1, -(-count // MOST_ROWS))
        for number in chosen:
            nearest = min(history.rows, key=lambda row: abs(row.step - number * length))
            if nearest is not marks[-1][1] and nearest is not history.rows[-1]:
                marks.append((f"epoch {number}", nearest))
    elif len(history.rows) > 2:
        thirds = [history.rows[len(history.rows) * part // 3] for part in (1, 2)]
        marks += [("a third", thirds[0]), ("two thirds", thirds[1])]
    return [*marks, ("end", history.rows[-1])]


def validation_table(history: History) -> Table:
    """The validations: evenly chosen ones where there are many, the best one always."""
    metrics = [name for name in (history.validations[0].means if history.validations else {}) if name]
    scored = [v for v in history.validations if v.score is not None]
    ordered = sorted(scored, key=lambda v: v.score or 0.0, reverse=history.better == "higher")
    best = ordered[0].step if ordered else None
    stride = -(-len(history.validations) // MOST_ROWS) or 1
    last = len(history.validations) - 1
    rows = [
        (
            Cell(f"{v.step:,}", "best" if v.step == best else "", v.step == best),
            *(Cell(words.or_absent(v.means.get(metric), words.score)) for metric in metrics),
            Cell(words.or_absent(v.threshold, "{:g}".format)),
        )
        for number, v in enumerate(history.validations)
        if number % stride == 0 or v.step == best or number == last
    ]
    return Table(("after step", *metrics, "threshold"), tuple(rows))


def checkpoint_table(history: History) -> Table:
    """The checkpoints that are kept, with the validation score of each."""
    scores = {v.step: v.score for v in history.validations}
    best, last = history.record.get("best_step"), history.record.get("last_step")
    rows = []
    for kept in history.checkpoints:
        reason = " and ".join(name for name, step in (("best", best), ("newest", last)) if step == kept.step)
        saved = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept.saved))
        score = words.or_absent(scores.get(kept.step), words.score)
        rows.append(
            (Cell(f"{kept.step:,}", reason, bool(reason)), Cell(words.size(kept.size)), Cell(saved), Cell(score))
        )
    return Table(("step", "size", "saved", f"validation {history.primary}"), tuple(rows))


def score_table(history: History) -> Table:
    """Scores of the sets that were evaluated, by the best checkpoint: a row per metric."""
    names = dict.fromkeys(name for summary in history.scores.values() for name in summary["metrics"])
    heads = [f"{name} ({summary['images']} images)" for name, summary in history.scores.items()]
    rows = []
    for name in sorted(names, key=lambda name: name != history.primary):
        entries = [summary["metrics"].get(name) or {} for summary in history.scores.values()]
        better = next((str(entry["better"]) for entry in entries if "better" in entry), "")
        values = [Cell(words.or_absent(entry.get("mean"), words.score)) for entry in entries]
        rows.append((Cell(name, f"{better} is better" if better else "", name == history.primary), *values))
    return Table(("metric", *heads), tuple(rows))


def part_table(history: History) -> Table:
    """Parameters of every part of the model."""
    parts = (history.record.get("parameters") or {}).get("parts") or {}
    rows = [(Cell(name), Cell(f"{total:,}"), Cell(f"{trained:,}")) for name, (total, trained) in parts.items()]
    return Table(("part", "parameters", "trained"), tuple(rows))


def split_of_time(history: History) -> dict[str, float]:
    """Seconds by phase of the whole training: as recorded at its end, else added up from the log. Empty: not known."""
    recorded = history.record.get("time_split")
    if recorded:
        return {name: float(seconds) for name, seconds in recorded.items()}
    sums: dict[str, float] = {}
    rows = [Row(0.0, 0, {}), *history.rows]
    for before, row in pairwise(rows):
        for name, _ in PHASES[:4]:
            if f"{name}_seconds" in row.values:
                sums[name] = sums.get(name, 0.0) + row.values[f"{name}_seconds"] * (row.step - before.step)
    whole = history.seconds
    if whole and set(sums) == {"data"}:  # another program's log knows only this part
        return {"data": sums["data"], "work": max(0.0, whole - sums["data"])}
    return sums


def time_table(history: History) -> Table:
    """Where the time went."""
    split = split_of_time(history)
    total = sum(split.values())
    named = [*PHASES, ("work", "all else of the steps")]
    rows = [
        (Cell(text), Cell(words.duration(split[key])), Cell(f"{split[key] / total:.1%}"))
        for key, text in named
        if split.get(key) and total
    ]
    return Table(("", "time", "share"), tuple(rows))


def speed_table(history: History) -> Table:
    """Speed, memory, utilisation and energy; what was not measured is left out."""
    work, record, seconds = history.work, history.record, history.seconds
    energy = record.get("energy") or {}

    def per_second(count: int | None) -> str:
        return words.ABSENT if not count or not seconds else words.rate(count / seconds)

    def each(count: int | None) -> str:
        return words.ABSENT if not count or not seconds else words.duration(seconds / count)

    lines = [
        (f"{work.unit}/s, all processes together", per_second(work.samples)),
        ("time per optimizer step (mean)", each(work.optimizer_steps)),
        ("time per micro-batch (mean)", each(work.micro_batches)),
        ("peak memory, fullest process", _peak(history)),
        ("GPU utilisation (mean)", _mean(history, "gpu_utilisation", "{:.0%}".format)),
        ("power of all GPUs (mean)", _mean(history, "gpu_power_watts", "{:.0f} W".format)),
        ("energy of all GPUs", words.or_absent(energy.get("gpu_joules"), _energy)),
        ("energy of the processors, whoever used them", words.or_absent(energy.get("cpu_joules"), _energy)),
    ]
    return plain_table(lines)


def _peak(history: History) -> str:
    known = [row.values["peak_memory_bytes"] for row in history.rows if "peak_memory_bytes" in row.values]
    return words.size(max(known)) if known else words.ABSENT


def _mean(history: History, name: str, shown: Any) -> str:
    known = [row.values[name] for row in history.rows if name in row.values]
    return str(shown(sum(known) / len(known))) if known else words.ABSENT


def _energy(joules: float) -> str:
    return f"{joules / 3.6e6:.3g} kWh ({joules:,.0f} J)"
