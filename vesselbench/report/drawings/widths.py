"""Recall, precision and clDice by vessel width: a line per run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.contender import mean_of
from vesselbench.report import words
from vesselbench.report.drawings.drawn import Drawn
from vesselbench.report.svg import NAME_Y, Axes, colour

NAMES = {"recall_by_width": "recall", "precision_by_width": "precision", "cldice_by_width": "clDice"}


def bins_of(comparison: Comparison) -> dict[str, list[str]]:
    """Family of metrics -> its metrics per width, from thin to wide, as the summaries name them."""
    entries: Mapping[str, Any] = comparison.runs[0].summary.get("metrics") or {}
    found: dict[str, list[tuple[int, str]]] = {}
    for metric, entry in entries.items():
        if metric in comparison.directions and entry.get("bin") is not None:
            found.setdefault(str(entry["family"]), []).append((int(entry["bin"]), metric))
    return {family: [metric for _, metric in sorted(bins)] for family, bins in found.items()}


def draw_widths(comparison: Comparison) -> list[Drawn]:
    """A plot per family of metrics; widths that no image has are named, and have no point."""
    return [_draw(comparison, family, metrics) for family, metrics in bins_of(comparison).items()]


def _draw(comparison: Comparison, family: str, metrics: Sequence[str]) -> Drawn:
    name = NAMES.get(family, family)
    axes = Axes.between(
        (-0.4, len(metrics) - 0.6), (0.0, 1.0), labels=[*enumerate(run.label for run in comparison.runs)]
    )
    axes.rule_y(show_numbers=True)
    drawing = axes.drawing
    drawing.line(axes.x.start, axes.y.start, axes.x.end, axes.y.start, "axis")
    said = []
    for place, run in enumerate(comparison.runs):
        means = [mean_of(run.values(metric)) for metric in metrics]
        points = [(axes.x(at), axes.y(mean)) for at, mean in enumerate(means) if mean is not None]
        drawing.path(points, f"line {colour(place)}")
        for at, mean in enumerate(means):
            if mean is not None:
                title = f"{run.label}, {_tag(metrics[at])}: {words.score(mean)}"
                drawing.dot(axes.x(at), axes.y(mean), 4, f"ring {colour(place)}", title)
        listed = ", ".join(f"{_tag(m)} {words.or_absent(v, words.score)}" for m, v in zip(metrics, means, strict=True))
        said.append(f"{run.label}: {listed}")
    for at, metric in enumerate(metrics):
        held = sum(value is not None for value in comparison.runs[0].values(metric))
        drawing.text(axes.x(at), axes.y.start + 15, _tag(metric), "label", "middle")
        drawing.text(axes.x(at), axes.y.start + 28, f"n={held}", "label small", "middle")
    drawing.text(NAME_Y, (axes.y.start + axes.y.end) / 2, f"mean {name}", "", "middle", -90)
    alt = f"Mean {name} by vessel width. {'; '.join(said)}"
    caption = f"Mean {name} over the images that have vessels of this width (n), thin to wide."
    return Drawn.of(f"widths-{family.removesuffix('_by_width')}", drawing, alt, caption)


def _tag(metric: str) -> str:
    return metric.partition("@")[2] or metric
