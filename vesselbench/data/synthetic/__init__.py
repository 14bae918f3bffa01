"""Drawn data sets: vessel trees, and a look-alike of a real job."""
