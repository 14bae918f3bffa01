"""The comparison as one table for the terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from vesselbench.compare import Comparison
from vesselbench.contender import Contender
from vesselbench.pairing import Pair
from vesselbench.report import words
from vesselbench.report.tables import Cell, score_table


def terminal_table(comparison: Comparison) -> Table:
    """Means and medians, costs beside them, and below the differences of every pair with their intervals."""
    groups = len(set(comparison.groups))
    table = Table(
        title=f"{comparison.set_name} set: {len(comparison.images)} images of {groups} groups",
        caption="mean (median) over images; differences: mean [95 % interval over groups]",
        title_justify="left",
        caption_justify="left",
    )
    scores = score_table(comparison)
    table.add_column("run", no_wrap=False)
    for name in scores.columns[1:]:
        table.add_column(name, justify="right")
    for name in ("parameters", "training", "s/step", "images/s"):
        table.add_column(name, justify="right")
    costs = [_cost_cells(run) for run in comparison.runs]
    for number, row in enumerate(scores.rows):
        observer = number >= len(comparison.runs)
        table.add_row(
            Text(row[0].text),
            *(_score_text(cell) for cell in row[1:]),
            *(("",) * 4 if observer else costs[number]),
        )
    if comparison.pairs:
        table.add_section()
    for pair in comparison.pairs:
        table.add_row(Text(f"{pair.a} − {pair.b}"), *_difference_texts(pair), *("",) * 4)
    return table


def _score_text(cell: Cell) -> Text:
    text = Text(cell.text, style="bold" if cell.strong else "")
    return text.append(f"\n({cell.note.removeprefix('median ')})", style="dim not bold")


def _cost_cells(run: Contender) -> tuple[str, ...]:
    return (
        words.amount(run.costs.parameters_total),
        words.or_absent(run.costs.train_seconds, words.duration),
        words.or_absent(run.costs.seconds_per_step, words.rate),
        words.or_absent(run.costs.images_per_second, words.rate),
    )


def _difference_texts(pair: Pair) -> list[Text]:
    texts = []
    for metric in pair.metrics.values():
        text = Text(words.or_absent(metric.difference, words.change))
        texts.append(text.append(f"\n{words.bounds(metric.interval)}", style="dim"))
    return texts
