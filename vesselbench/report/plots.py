"""Plots of a comparison as PNG, for a light and a dark page. Figures are made without pyplot: nothing global stays."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vesselbench.compare import Comparison
from vesselbench.contender import mean_of
from vesselbench.pairing import Pair
from vesselbench.report import words
from vesselbench.statistics.paired import TIE

MANY = 40
"""Above this number of images their names no longer fit beside the plot."""
LONGEST_NAME = 22


@dataclass(frozen=True)
class Theme:
    """Colours of one plot; `runs` repeat after the sixth (Okabe and Ito's palette, lighter on dark)."""

    name: str
    page: str
    ink: str
    faint: str
    runs: tuple[str, ...]


LIGHT = Theme(
    "light", "#ffffff", "#1c2430", "#9aa5b1", ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
)
DARK = Theme(
    "dark", "#161b22", "#e6edf3", "#5c6773", ("#56b4e9", "#ff9248", "#2fc79a", "#e3a0c6", "#f0c14b", "#8ea6ff")
)
THEMES = (LIGHT, DARK)


def plot_scores(comparison: Comparison, theme: Theme) -> bytes:
    """Every image's primary score, a line from run to run, and the mean of each run. PNG."""
    runs, metric = comparison.runs, comparison.primary
    figure, axes = _blank(theme, (5.0, 4.2))
    table = np.array([[np.nan if v is None else v for v in run.values(metric)] for run in runs], dtype=np.float64)
    places = np.arange(len(runs))
    faint = float(np.clip(8 / len(comparison.images), 0.06, 0.55))
    axes.plot(places, table, color=theme.faint, alpha=faint, linewidth=1.0, zorder=1)
    for place, run in enumerate(runs):
        colour = theme.runs[place % len(theme.runs)]
        axes.plot(np.full(table.shape[1], place), table[place], "o", color=colour, alpha=0.55, markersize=4, zorder=2)
        mean = mean_of(run.values(metric))
        if mean is not None:
            axes.plot([place - 0.16, place + 0.16], [mean, mean], color=theme.ink, linewidth=2.6, zorder=3)
            axes.annotate(
                words.score(mean), (place + 0.19, mean), color=theme.ink, fontsize=11, fontweight="bold", va="center"
            )
    if comparison.observer2 is not None:
        observed = mean_of([row.values[metric] for row in comparison.observer2])
        if observed is not None:
            axes.axhline(observed, color=theme.ink, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            axes.annotate(
                _observer_text(comparison, observed),
                (0.5 if len(runs) > 1 else 0.3, observed),
                color=theme.ink,
                fontsize=9,
                va="bottom",
                ha="center",
                bbox={"facecolor": theme.page, "edgecolor": "none", "alpha": 0.75, "pad": 1},
            )
    axes.set_xlim(-0.45, len(runs) - 0.45 + 0.15)
    axes.set_xticks(places, [_shortened(run.label) for run in runs])
    axes.set_ylabel(f"{metric} per image ({comparison.directions[metric]} is better)")
    return _png(figure)


def _observer_text(comparison: Comparison, mean: float) -> str:
    share = words.share(len(comparison.observer2 or ()), len(comparison.images))
    return f"second observer {words.score(mean)}{f' ({share})' if share else ''}"


def plot_differences(comparison: Comparison, pair: Pair, theme: Theme) -> bytes:
    """A minus B of the primary metric for every image, sorted; the mean, its interval, and ± margin. PNG."""
    metric = comparison.primary
    labels = [run.label for run in comparison.runs]
    a, b = (comparison.runs[labels.index(label)] for label in (pair.a, pair.b))
    both = [
        (x - y, image)
        for x, y, image in zip(a.values(metric), b.values(metric), comparison.images, strict=True)
        if x is not None and y is not None
    ]
    both.sort()
    height = float(np.clip(1.5 + 0.19 * len(both), 3.2, 8.0)) if len(both) <= MANY else 6.0
    figure, axes = _blank(theme, (5.0, height))
    values, rows = np.array([value for value, _ in both]), np.arange(len(both))
    colours = [
        _side(v, comparison.directions[metric], labels.index(pair.a), labels.index(pair.b), theme) for v in values
    ]
    axes.axvspan(-comparison.margin, comparison.margin, color=theme.faint, alpha=0.22, linewidth=0)
    axes.axvline(0, color=theme.ink, linewidth=0.9)
    axes.hlines(rows, 0, values, colors=colours, linewidth=1.2 if len(both) <= MANY else 0.6)
    axes.scatter(values, rows, c=colours, s=22 if len(both) <= MANY else 8, zorder=3)
    _draw_mean(axes, pair, metric, len(both), theme)
    names = [_shortened(image) for _, image in both] if len(both) <= MANY else []
    axes.set_yticks(rows if names else [], names, fontsize=7.5)
    axes.set_xlabel(f"{metric}: {_shortened(pair.a)} minus {_shortened(pair.b)}")
    return _png(figure)


def _draw_mean(axes: Axes, pair: Pair, metric: str, top: int, theme: Theme) -> None:
    """The mean and its interval in a row of their own above the images."""
    paired = pair.metrics[metric]
    if paired.difference is None:
        return
    place = top + 0.6 + 0.03 * top
    if paired.interval.low is not None and paired.interval.high is not None:
        axes.plot([paired.interval.low, paired.interval.high], [place, place], color=theme.ink, linewidth=2.4)
    axes.plot([paired.difference], [place], "D", color=theme.ink, markersize=6.5)
    axes.annotate(
        f"mean {words.change(paired.difference)}",
        (paired.difference, place),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        fontsize=9.5,
        fontweight="bold",
        color=theme.ink,
        bbox={"facecolor": theme.page, "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )
    axes.set_ylim(-1, place + 1.4 + 0.05 * top)


def _side(value: float, better: str, a: int, b: int, theme: Theme) -> str:
    """The colour of the run that an image favours."""
    if abs(value) <= TIE:
        return theme.faint
    return theme.runs[(a if (value > 0) == (better == "higher") else b) % len(theme.runs)]


def _blank(theme: Theme, size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, dpi=170, facecolor=theme.page, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(theme.page)
    axes.tick_params(colors=theme.ink, length=0, labelsize=9.5)
    axes.grid(True, color=theme.faint, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(theme.faint)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(theme.ink)
        label.set_fontsize(10)
    return figure, axes


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # No software or date entry: the same comparison gives the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def plot_texts(comparison: Comparison, pair: Pair | None) -> dict[str, str]:
    """What the plots show, in words: alternative texts by plot name."""
    metric = comparison.primary
    means = ", ".join(
        f"{run.label} {words.or_absent(mean_of(run.values(metric)), words.score)}" for run in comparison.runs
    )
    texts = {"scores": f"{metric} of every image for each run; means: {means}"}
    observed = None if comparison.observer2 is None else mean_of([row.values[metric] for row in comparison.observer2])
    if observed is not None:
        texts["scores"] += f"; {_observer_text(comparison, observed)}"
    if pair is not None:
        paired = pair.metrics[metric]
        shown = f"{words.or_absent(paired.difference, words.change)} {words.bounds(paired.interval)}"
        texts["differences"] = (
            f"{metric} of {pair.a} minus {pair.b} for each of {paired.images} images, sorted; mean {shown}; "
            f"{pair.a} is better on {paired.tally.wins}, equal on {paired.tally.ties}, worse on {paired.tally.losses}"
        )
    return texts
