"""Benchmarks as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from vesselbench.benchmarking.figures import Figures
from vesselbench.benchmarking.kept import Benchmark
from vesselbench.quantities import amount, rate, size

ABSENT = "-"
CAPTION = (
    "median round and quartiles; FLOP counted: convolutions, matrix products, attention; utilisation: their rate as a "
    "share of the fastest {references} of the same run, in the same arithmetic"
)


def benchmark_table(benchmarks: Sequence[Benchmark]) -> Table:
    """A column per recipe, a section per entry."""
    first = benchmarks[0].figures[0]
    table = Table(
        title=f"Seconds per iteration on {benchmarks[0].machine.words}",
        caption=CAPTION.format(references=" and ".join(first.references)),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    for one in benchmarks:
        table.add_column(Text(one.recipe), justify="right")
    for what in dict.fromkeys(figures.what for one in benchmarks for figures in one.figures):
        columns = [[ABSENT] * len(LINES) if (of := one.of(what)) is None else _cells(of) for one in benchmarks]
        for number, name in enumerate(LINES):
            head = Text(f"{what}, {name}" if number == 0 else f"  {name}", style="bold" if number == 0 else "")
            table.add_row(head, *(Text(column[number]) for column in columns))
        table.add_section()
    return table


LINES = (
    "seconds",
    "first and third quartile",
    "rounds + warm-up",
    "samples per iteration",
    "samples/s",
    "waiting for data",
    "peak memory of the process",
    "grown by model and work",
    "FLOP per iteration",
    "FLOP/s",
    "matmul peak, FLOP/s",
    "convolution peak, FLOP/s",
    "utilisation (matmul peak)",
    "utilisation (convolution peak)",
    "arithmetic",
)


def _cells(figures: Figures) -> list[str]:
    low, high = figures.quartiles
    used, peaks = figures.utilisation, figures.peaks
    shares = [ABSENT if used is None else f"{used[name]:.1%}" for name in figures.references]
    return [
        f"{figures.median:.4g}",
        f"{low:.4g} to {high:.4g}",
        f"{len(figures.seconds)} + {figures.warmup}",
        str(figures.samples),
        rate(figures.samples_per_second),
        f"{figures.data_wait_share:.1%}",
        size(figures.peak_memory_bytes),
        size(figures.grown_bytes),
        amount(figures.flops),
        amount(figures.flops / figures.median),
        *(amount(peaks[name]) for name in figures.references),
        *shares,
        f"{figures.dtype} on {figures.device}",
    ]
