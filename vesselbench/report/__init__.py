"""Markdown and one self-contained HTML file from scores on disk (no torch)."""

from vesselbench.report.pseudonyms import shown_comparison
from vesselbench.report.record import comparison_record
from vesselbench.report.render import render_comparison
from vesselbench.report.terminal import terminal_table

__all__ = ["comparison_record", "render_comparison", "shown_comparison", "terminal_table"]
