"""A comparison as a folder: report.html (one self-contained file), report.md, comparison.json, panels/."""

from __future__ import annotations

from pathlib import Path

from vesselbench.comparing.comparison import Comparison
from vesselbench.plugins import Catalogue
from vesselbench.report import pseudonyms
from vesselbench.report.choice import choose_images
from vesselbench.report.folder import new_folder
from vesselbench.report.gallery import gallery_record
from vesselbench.report.page import templates
from vesselbench.report.panels import make_panels, most_images, read_data
from vesselbench.report.record import comparison_record
from vesselbench.report.svg import standalone
from vesselbench.report.view import plots_of, view_of
from vesselbench.rundir import write_bytes, write_json, write_text


def render_comparison(
    comparison: Comparison, folder: Path, catalogue: Catalogue, *, pseudonymised: bool = False
) -> Path:
    """Write the report into the new `folder` and return the path of its report.html.

    The folder appears whole or not at all. Reads the data that the first run names and every run's predictions.
    `pseudonymised`: image ids, groups and file names become short hashes (see `pseudonyms.pseudonymise`).
    Raises UserError when the folder exists, the data have changed, or a prediction is not the one that was scored.
    """
    with new_folder(folder) as draft:
        shown = pseudonyms.pseudonymise(comparison) if pseudonymised else pseudonyms.as_it_is(comparison)
        choices = choose_images(shown.original, most_images(len(comparison.runs)))
        panels = make_panels(shown.comparison, shown.original, choices, read_data(comparison, catalogue))
        plots = plots_of(shown.comparison)
        view = view_of(shown.comparison, panels, choices, plots, pseudonymised)
        for plot in [plot for section in plots.values() for plot in section]:
            write_text(draft / "panels" / f"plot-{plot.name}.svg", standalone(plot.svg))
        for tile in [tile for panel in panels for tile in (*panel.tiles, *panel.detail)]:
            write_bytes(draft / "panels" / tile.file, tile.picture)
        gallery = gallery_record(shown.comparison, choices, [panel.mistakes for panel in panels])
        record = comparison_record(shown.comparison, gallery, pseudonymised=pseudonymised)
        write_json(draft / "comparison.json", record)
        engine = templates()
        write_text(draft / "report.md", engine.get_template("report.md.j2").render(view))
        write_text(draft / "report.html", engine.get_template("report.html").render(view))
    return folder / "report.html"
