"""Values of a JSON file, each checked for its type as it is taken: what is no such value is named with its place."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesselbench import UserError

AGAIN = "copy it again from where the weights come from"
LARGEST = 2**31 - 1
"""No dimension, number of tokens or id of a released model comes near it."""


def read_json(path: Path) -> Any:
    """What a JSON file holds; UserError when it cannot be read or is no JSON in UTF-8."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", "check the path and its permissions") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, a number of thousands of digits, or too deep
        raise UserError(f"{path} is not JSON: {error}", AGAIN) from None


@dataclass(frozen=True)
class Stated:
    """A mapping of the file `where`; `part` is its place there, such as ``vision_config``, empty for the whole.

    Each method gives the value of a key. A key that is absent or null has the value `default`; without one, and for a
    value of another type or range, UserError names file, key and value.
    """

    where: Path
    values: dict[str, Any]
    part: str = ""

    def name(self, key: str) -> str:
        """The key with its place, for messages."""
        return f"{self.part}.{key}" if self.part else key

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.values.get(key) is not None

    def part_of(self, key: str) -> Stated:
        """A mapping inside this one."""
        value = self._take(key, None)
        if not isinstance(value, dict):
            raise self.error(key, value, "a mapping")
        return Stated(self.where, value, self.name(key))

    def whole(self, key: str, default: int | None = None, least: int = 1) -> int:
        """A whole number from `least` to 2^31 - 1."""
        value = self._take(key, default)
        if not _is_whole(value, least):
            raise self.error(key, value, f"a whole number from {least} to {LARGEST}")
        return int(value)

    def wholes(self, key: str, least: int = 1) -> tuple[int, ...]:
        """Some whole numbers from `least`, at least one."""
        value = self._take(key, None)
        if not isinstance(value, list) or not value or not all(_is_whole(one, least) for one in value):
            raise self.error(key, value, f"a list of whole numbers from {least}")
        return tuple(value)

    def number(self, key: str, default: float) -> float:
        """A finite number above 0."""
        value = self._take(key, default)
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not 0 < value < 1e18 or not math.isfinite(value):
            raise self.error(key, value, "a number above 0")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, value, "true or false")
        return value

    def text(self, key: str, default: str) -> str:
        """A text."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.error(key, value, "a text")
        return value

    def error(self, key: str, value: object, wanted: str) -> UserError:
        """The error of a value that is not what is wanted."""
        return UserError(f"{self.where}: {self.name(key)} is {shown(value)}, wanted is {wanted}", AGAIN)

    def _take(self, key: str, default: object) -> Any:
        if self.has(key):
            return self.values[key]
        if default is None:
            raise UserError(f"{self.where} lacks {self.name(key)}", AGAIN)
        return default


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST


def shown(value: object) -> str:
    """A value for a message: at most 80 printable ASCII characters."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
