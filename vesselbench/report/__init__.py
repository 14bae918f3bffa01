"""Markdown and one self-contained HTML file from scores on disk (no torch)."""
