"""The learning curve as a folder: curve.html (one self-contained file), curve.md, curve.json, the plot."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vesselbench.comparing.learning import Curve, Size, answer, budget_lines, crossings
from vesselbench.declared import counted, plural
from vesselbench.report import words
from vesselbench.report.drawings.learning import bounds_of_mean, draw_learning
from vesselbench.report.folder import new_folder
from vesselbench.report.page import templates
from vesselbench.report.svg import standalone
from vesselbench.report.tables import Cell, Table
from vesselbench.rundir import write_json, write_text


def answers(curve: Curve) -> list[str]:
    """The first model against each other one, in sentences."""
    first, *others = curve.models
    return [answer(curve, first, other) for other in others]


def curve_table(curve: Curve) -> Table:
    """A row per size: every model's mean with its interval, and the first model's difference to each other one."""
    first, *others = curve.models
    points = {model: curve.points(model) for model in curve.models}
    pairs = {other: curve.differences(first, other) for other in others}
    rows = []
    for number, size in enumerate(curve.sizes):
        means = [
            Cell(words.or_absent(one.mean, words.score), bounds_of_mean(one.interval), sort=one.mean)
            for one in (points[model][number] for model in curve.models)
        ]
        against = []
        for other in others:
            paired = pairs[other][number]
            shown = f"{words.or_absent(paired.difference, words.change)} {words.bounds(paired.interval)}"
            against.append(Cell(str(paired.judgement), shown))
        rows.append((Cell(f"{size.groups}", _share(size), sort=size.groups), *means, *against))
    heads = [f"{first} against {other}" for other in others]
    return Table((f"training {plural(curve.unit)}", *curve.models, *heads), tuple(rows))


def _share(size: Size) -> str:
    return "all" if size.fraction == 1 else f"{100 * size.fraction:g} % of all"


def notes_of_sizes(curve: Curve) -> list[str]:
    """Every note of the comparisons once; before one that does not hold at every size stand the sizes."""
    sizes: dict[str, list[str]] = {}
    for size in curve.sizes:
        for note in size.comparison.notes:
            sizes.setdefault(note, []).append(counted(size.groups, curve.unit))
    return [note if len(of) == len(curve.sizes) else f"{', '.join(of)}: {note}" for note, of in sizes.items()]


def curve_record(curve: Curve) -> dict[str, Any]:
    """The curve as curve.json holds it; no name of a sample or a group is in it."""
    first, *others = curve.models
    test = curve.sizes[0].comparison
    return {
        "primary": curve.primary,
        "unit": curve.unit,
        "test_images": len(test.images),
        "test_groups": len(set(test.groups)),
        "sizes": [
            {
                "fraction": size.fraction,
                "groups": size.groups,
                "samples": size.samples,
                "runs": {model: [seed.where for seed in curve.contender(size, model).seeds] for model in curve.models},
            }
            for size in curve.sizes
        ],
        "points": {model: [asdict(point) for point in curve.points(model)] for model in curve.models},
        "against": {other: [_difference(one) for one in curve.differences(first, other)] for other in others},
        "crossings": {other: crossings(curve, first, other) for other in others},
        "answers": answers(curve),
        "budgets": budget_lines(curve),
        "notes": notes_of_sizes(curve),
    }


def _difference(paired: Any) -> dict[str, Any]:
    return {
        "difference": paired.difference,
        "interval": asdict(paired.interval),
        "judgement": paired.judgement,
    }


def render_curve(curve: Curve, folder: Path) -> Path:
    """Write everything into the new `folder`, whole or not at all; returns the page."""
    plot = draw_learning(curve)
    test = curve.sizes[0].comparison
    view = {
        "title": f"Learning curve: {', '.join(curve.models)}",
        "answers": answers(curve),
        "plot": plot,
        "table_of_sizes": curve_table(curve),
        "caption": "Mean over the same test images, with 95 % intervals; differences are paired by image",
        "budgets": budget_lines(curve),
        "notes": notes_of_sizes(curve),
        "images": len(test.images),
        "groups": counted(len(set(test.groups)), curve.unit),
        "made": time.strftime("%Y-%m-%d %H:%M"),
    }
    with new_folder(folder) as draft:
        write_json(draft / "curve.json", curve_record(curve))
        write_text(draft / "plot-learning.svg", standalone(plot.svg))
        engine = templates()
        write_text(draft / "curve.md", engine.get_template("curve.md.j2").render(view))
        write_text(draft / "curve.html", engine.get_template("curve.html").render(view))
    return folder / "curve.html"
