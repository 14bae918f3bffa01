"""Numbers as people read them. What was not measured is an en dash, never 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from vesselbench.quantities import amount, duration, rate, size
from vesselbench.statistics.paired import Interval

__all__ = ["amount", "duration", "rate", "size"]

ABSENT = "–"
VALUE = TypeVar("VALUE")


def or_absent(value: VALUE | None, shown: Callable[[VALUE], str]) -> str:
    """`shown(value)`, or an en dash when there is no value."""
    return ABSENT if value is None else shown(value)


def score(value: float) -> str:
    """Three decimals below 10 in size, one above (a distance in pixels, say)."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def change(value: float) -> str:
    """A difference with its sign; one that rounds to nothing has none."""
    shown = f"{value:+.3f}" if abs(value) < 10 else f"{value:+.1f}"
    return shown[1:] if float(shown) == 0 else shown


def bounds(interval: Interval) -> str:
    """``[low, high]``, or the reason why there is none."""
    if interval.low is None or interval.high is None:
        return interval.reason
    return f"[{change(interval.low)}, {change(interval.high)}]"


def probability(p: float) -> str:
    """Three significant digits; below 0.0001 only that."""
    return "< 0.0001" if p < 1e-4 else f"{p:.3g}"


def share(part: int, whole: int) -> str:
    """``k of n images`` where that is not all of them, else nothing."""
    return f"{part} of {whole} images" if part != whole else ""


def setting(value: Any) -> str:
    """A value of a recipe as it would be typed."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(setting(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def short_hash(digest: str) -> str:
    """The first 12 characters: enough to tell files apart by eye."""
    return digest[:12] or ABSENT
