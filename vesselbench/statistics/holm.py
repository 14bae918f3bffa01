"""Holm's correction: several questions asked of the same data."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p in the same order: all of them below 0.05 are false together in at most 5 % of cases.

    Holm 1979, Scandinavian Journal of Statistics 6:65-70: the i-th smallest of m is multiplied by m - i + 1, made at
    least as large as the one before it, and cut at 1. No assumption on how the questions depend on each other.
    Raises ValueError for a p outside [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"a p lies outside [0, 1]: {list(p_values)}")
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted
