"""Runs side by side, around `compare`: what may be compared, what is paired and what follows (no torch)."""
