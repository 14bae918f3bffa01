"""A comparison as a folder: report.html (one self-contained file), report.md, comparison.json, panels/*.png."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vesselbench.compare import Comparison, verdict
from vesselbench.contender import mean_of
from vesselbench.errors import UserError
from vesselbench.pairing import RESAMPLES
from vesselbench.plugins import Catalogue
from vesselbench.report import overlay, pseudonyms, tables, words
from vesselbench.report.choice import choose_images
from vesselbench.report.page import Plot, templates
from vesselbench.report.panels import Panel, make_panels, read_data
from vesselbench.report.plots import THEMES, plot_differences, plot_scores, plot_texts
from vesselbench.report.record import write_comparison
from vesselbench.report.svg import colour
from vesselbench.rundir import write_bytes, write_text
from vesselbench.verdict import leading_pair


def render_comparison(
    comparison: Comparison, folder: Path, catalogue: Catalogue, *, pseudonymised: bool = False
) -> Path:
    """Write the report into the new `folder` and return the path of its report.html.

    The folder appears whole or not at all. Reads the data that the first run names and every run's predictions.
    `pseudonymised`: image ids, groups and file names become short hashes (see `pseudonyms.pseudonymise`).
    Raises UserError when the folder exists, the data have changed, or a prediction is not the one that was scored.
    """
    if folder.exists():
        raise UserError(f"{folder} exists already", "name a folder that does not exist yet")
    shown = pseudonyms.pseudonymise(comparison) if pseudonymised else pseudonyms.as_it_is(comparison)
    choices = choose_images(shown.original)
    panels = make_panels(shown.comparison, shown.original, choices, read_data(comparison, catalogue))
    plots = _plots(shown.comparison)
    view = _view(shown.comparison, panels, plots, choices.unranked, pseudonymised)
    engine = templates()
    with _new_folder(folder) as draft:
        for plot in plots:
            write_bytes(draft / "panels" / f"plot-{plot.name}.png", plot.pngs[THEMES[0].name])
        for panel in panels:
            for tile in panel.tiles:
                write_bytes(draft / "panels" / tile.file, tile.png)
        write_comparison(shown.comparison, draft / "comparison.json")
        write_text(draft / "report.md", engine.get_template("report.md.j2").render(view))
        write_text(draft / "report.html", engine.get_template("report.html").render(view))
    return folder / "report.html"


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A draft beside `folder` that takes its name when all is written and vanishes when something fails."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        yield draft
        os.replace(draft, folder)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror or error}", "choose another folder") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _plots(comparison: Comparison) -> list[Plot]:
    pair = leading_pair(comparison)
    texts = plot_texts(comparison, pair)
    plots = [
        Plot(
            "scores",
            {theme.name: plot_scores(comparison, theme) for theme in THEMES},
            texts["scores"],
            "Every dot is an image, every line joins the same image; the bar is the mean.",
        )
    ]
    if pair is not None and pair.metrics[comparison.primary].images:
        plots.append(
            Plot(
                "differences",
                {theme.name: plot_differences(comparison, pair, theme) for theme in THEMES},
                texts["differences"],
                f"{pair.a} minus {pair.b} for every image, in the colour of the run it favours; diamond and bar: mean "
                f"and 95 % interval; grey band: ±{comparison.margin:g}, too little to matter.",
            )
        )
    return plots


def _view(
    comparison: Comparison, panels: list[Panel], plots: list[Plot], unranked: int, pseudonymised: bool
) -> dict[str, Any]:
    """Everything the two templates print."""
    unlike, shared = tables.setting_tables(comparison)
    return {
        "title": (" against " if len(comparison.runs) == 2 else ", ").join(run.label for run in comparison.runs),
        "comparison": comparison,
        "verdict": verdict(comparison),
        "heroes": _heroes(comparison),
        "scores": tables.score_table(comparison),
        "differences": [(pair, tables.difference_table(pair, comparison.primary)) for pair in comparison.pairs],
        "cases": tables.case_table(comparison),
        "costs": tables.cost_table(comparison),
        "parts": tables.part_table(comparison),
        "origins": tables.origin_table(comparison),
        "split": tables.split_table(comparison),
        "unlike_settings": unlike,
        "shared_settings": shared,
        "versions": tables.version_table(comparison),
        "panels": panels,
        "plots": plots,
        "unranked": unranked,
        "resamples": RESAMPLES,
        "pseudonymised": pseudonymised,
        "groups": len(set(comparison.groups)),
        "colours": {
            name: "#{:02x}{:02x}{:02x}".format(*colour)
            for name, colour in (
                ("hit", overlay.HIT),
                ("false", overlay.FALSE),
                ("missed", overlay.MISSED),
                ("field", overlay.FIELD),
            )
        },
        "made": time.strftime("%Y-%m-%d %H:%M"),
    }


def _heroes(comparison: Comparison) -> list[dict[str, str]]:
    """The few numbers of each run that stand above everything else."""
    return [
        {
            "label": run.label,
            "score": words.or_absent(mean_of(run.values(comparison.primary)), words.score),
            "parameters": words.amount(run.costs.parameters_total),
            "time": words.or_absent(run.costs.train_seconds, words.duration),
            "kind": colour(place),
        }
        for place, run in enumerate(comparison.runs)
    ]
