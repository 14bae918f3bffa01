"""The comparison as one table for the terminal, 80 columns wide for two runs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from vesselbench.compare import Comparison
from vesselbench.comparing.contender import Contender
from vesselbench.comparing.pairing import Pair
from vesselbench.report import words
from vesselbench.report.tables import Cell, benchmark_lines, score_table


def terminal_table(comparison: Comparison) -> Table:
    """A column per run, a row per metric (mean, median below) and per cost; the second observer is a column as well.

    The differences of two runs are the last column; those of more pairs stand under the table.
    """
    several = len(comparison.pairs) > 1
    lines = ["mean, median below; difference: mean and 95 % interval over groups"]
    if several:
        lines = ["mean, median below", *_difference_lines(comparison)]
    table = Table(
        title=f"{comparison.set_name} set: {len(comparison.images)} images of {len(set(comparison.groups))} groups",
        caption="\n".join(lines),
        title_justify="left",
        caption_justify="left",
    )
    scores = score_table(comparison)
    pairs = () if several else comparison.pairs
    table.add_column("", no_wrap=True)
    for row in scores.rows[: len(comparison.runs)]:
        table.add_column(Text(row[0].text), justify="right")
    if comparison.observer2 is not None:
        share = words.share(len(comparison.observer2), len(comparison.images))
        table.add_column(Text(f"second observer, {share}" if share else "second observer"), justify="right")
    for pair in pairs:
        table.add_column(Text(f"{pair.a} − {pair.b}"), justify="right", no_wrap=True)
    for place, heading in enumerate(scores.columns[1:], 1):
        texts = [_score_text(row[place]) for row in scores.rows]
        metric = heading.split()[0]
        table.add_row(Text(heading), *texts, *(_difference_text(pair, metric) for pair in pairs))
    table.add_section()
    blanks = [""] * (comparison.observer2 is not None) + [""] * len(pairs)
    benchmarks = [line for line in benchmark_lines(comparison) if "," not in line[0]]
    for name, values in [*_cost_lines(comparison.runs), *benchmarks]:
        table.add_row(Text(name), *(Text(value) for value in values), *blanks)
    return table


def _score_text(cell: Cell) -> Text:
    text = Text(cell.text, style="bold" if cell.strong else "")
    return text.append(f"\n{cell.note.removeprefix('median ')}", style="dim not bold")


def _difference_text(pair: Pair, metric: str) -> Text:
    paired = pair.metrics[metric]
    text = Text(words.or_absent(paired.difference, words.change))
    return text.append(f"\n{words.bounds(paired.interval)}", style="dim")


def _difference_lines(comparison: Comparison) -> list[str]:
    paired = [(pair, pair.metrics[comparison.primary]) for pair in comparison.pairs]
    return [
        f"{comparison.primary}, {pair.a} − {pair.b}: {words.or_absent(metric.difference, words.change)} "
        f"{words.bounds(metric.interval)}, {metric.judgement}"
        for pair, metric in paired
    ]


def _cost_lines(runs: Sequence[Contender]) -> list[tuple[str, list[str]]]:
    return [
        ("no vessel found", [_nothing_found(run) for run in runs]),
        ("parameters", [words.amount(run.costs.parameters_total) for run in runs]),
        ("trainable", [words.amount(run.costs.parameters_trainable) for run in runs]),
        ("training time", [words.or_absent(run.costs.train_seconds, words.duration) for run in runs]),
        ("time per step", [words.or_absent(run.costs.seconds_per_step, words.duration) for run in runs]),
        ("images/s", [words.or_absent(run.costs.images_per_second, words.rate) for run in runs]),
    ]


def _nothing_found(run: Contender) -> str:
    """Images with an empty prediction; of several seeds out of all their predictions."""
    cases = run.cases()
    return f"{cases['empty_prediction']}{f' of {cases.total()}' if len(run.seeds) > 1 else ''}"
