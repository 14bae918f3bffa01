"""Where two JSON values differ, with the way to each place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TOLERANCE = 1e-9
"""Relative, and absolute below 1: sums in another order differ in the last digits; a pixel moves a score by far more
(1e-7 and up on the largest images)."""


@dataclass(frozen=True)
class Difference:
    """`where` the two differ, what was `stated` and what was `found` now."""

    where: str
    stated: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.where}: stated {_shown(self.stated)}, found {_shown(self.found)}"


@dataclass
class Comparing:
    """Walks along two values; `numbers`: how many have been held against each other."""

    tolerance: float = TOLERANCE
    numbers: int = 0

    def differences(self, stated: Any, found: Any, where: str) -> Iterator[Difference]:
        """Every place in which the two values differ. A whole number and a float of the same value are equal."""
        if isinstance(stated, Mapping) and isinstance(found, Mapping):
            for key in sorted({*map(str, stated), *map(str, found)}):
                absent = "absent"
                yield from self.differences(stated.get(key, absent), found.get(key, absent), f"{where}.{key}")
        elif isinstance(stated, list | tuple) and isinstance(found, list | tuple):
            if len(stated) != len(found):
                yield Difference(f"{where}, number of entries", len(stated), len(found))
            for place in range(min(len(stated), len(found))):
                yield from self.differences(stated[place], found[place], f"{where}[{place}]")
        elif _is_number(stated) and _is_number(found):
            self.numbers += 1
            if not math.isclose(stated, found, rel_tol=self.tolerance, abs_tol=self.tolerance):
                yield Difference(where, stated, found)
        elif stated != found or isinstance(stated, bool) != isinstance(found, bool):
            yield Difference(where, stated, found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = f"{value!r}"
    return text if len(text) <= 120 else f"{text[:117]}..."
