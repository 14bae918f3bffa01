"""Statistics of scores that come in groups (several images of one patient). numpy and scipy only; no torch."""
