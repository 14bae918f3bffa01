"""Times, sizes, counts and speeds as people read them."""

from __future__ import annotations

import math


def duration(seconds: float) -> str:
    """Milliseconds to hours, two or three digits."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
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
            return f"{count / limit:.3g} {unit}"
    return f"{count:.0f}"


def size(count: float) -> str:
    """Bytes in binary units."""
    step = min(4, int(math.log(count, 1024))) if count >= 1 else 0
    return f"{count / 1024**step:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[step]}"


def rate(per_second: float) -> str:
    """A speed, three digits."""
    return f"{per_second:.3g}" if per_second < 100 else f"{per_second:,.0f}"
