"""Times, sizes, counts and speeds as people read them."""

from __future__ import annotations

import math


def duration(seconds: float) -> str:
    """Milliseconds to hours, two or three digits."""
    if seconds < 1:
        return f"{_digits(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def amount(count: float) -> str:
    """A count with thousand, million or billion, three digits."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= limit:
            return f"{_digits(count / limit)} {unit}"
    return f"{count:.0f}"


def size(count: float) -> str:
    """Bytes in binary units."""
    step = min(4, int(math.log(count, 1024))) if count >= 1 else 0
    return f"{_digits(count / 1024**step)} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[step]}"


def _digits(value: float) -> str:
    """Three digits, four from 1000 on (of 1024): never an exponent for what is large."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def rate(per_second: float) -> str:
    """A speed, three digits."""
    return f"{per_second:.3g}" if per_second < 100 else f"{per_second:,.0f}"
