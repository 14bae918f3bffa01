"""Strict reading of annotation JSON: every value is asked for by kind, and every error says file, index and key."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vesselbench.errors import UserError
from vesselbench.plugins import nearest

log = logging.getLogger(__name__)
LONGEST_NAME, LONGEST_PATH = 255, 4000  # bytes; what common file systems allow


def load_json(path: Path) -> Any:
    """The contents of a JSON file; UserError when it is missing, no JSON or not UTF-8."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"annotation file {path} does not exist", "check data.root and data.options") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check data.root and data.options") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {error}", "export the annotations again") from None


def mapping(value: Any, where: str) -> dict[str, Any]:
    """`value` as a mapping; UserError names the place otherwise."""
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a mapping, found {_shown(value)}", "export the annotations again")
    return value


def sequence(value: Any, where: str) -> list[Any]:
    """`value` as a list; UserError names the place otherwise."""
    if not isinstance(value, list):
        raise UserError(f"{where}: expected a list, found {_shown(value)}", "export the annotations again")
    return value


def required(record: dict[str, Any], key: str, where: str) -> Any:
    """The value of `key`; UserError names the place and the key when it is missing."""
    if key not in record:
        raise UserError(f"{where}: no {key!r}", "add it, or export the annotations again")
    return record[key]


def text(record: dict[str, Any], key: str, where: str) -> str:
    """The value of `key` as a non-empty string."""
    value = required(record, key, where)
    if not isinstance(value, str) or not value:
        raise UserError(f"{where}.{key}: expected a text, found {_shown(value)}", "mend the annotation")
    return value


def whole(record: dict[str, Any], key: str, where: str) -> int:
    """The value of `key` as a positive whole number."""
    value = required(record, key, where)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{where}.{key}: expected a positive whole number, found {_shown(value)}", "mend it")
    return value


def identity(record: dict[str, Any], key: str, where: str) -> int | str:
    """The value of `key` as an id: a whole number or a text."""
    value = required(record, key, where)
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise UserError(f"{where}.{key}: expected a number or text, found {_shown(value)}", "mend the annotation")
    return value


def coordinates(value: Any, where: str) -> tuple[float, ...]:
    """A flat list of numbers as floats (finite or not: the decoder checks that)."""
    numbers = sequence(value, where)
    for position, number in enumerate(numbers):
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise UserError(f"{where}[{position}]: expected a number, found {_shown(number)}", "mend the annotation")
    try:
        return tuple(float(number) for number in numbers)
    except OverflowError:
        raise UserError(f"{where}: a coordinate is too large", "mend the annotation") from None


def stem_of(name: str, where: str) -> str:
    """A file name without its extension, folders kept, with forward slashes: the id of an image.

    UserError when it names no file (``.``, say) or is longer than file systems allow.
    """
    path = Path(name.replace("\\", "/"))
    if not path.name or path.name == "..":
        raise UserError(f"{where}: {_shown(name)} is no file name", "name the image file")
    parts = [len(part.encode("utf-8", "surrogatepass")) for part in path.parts]
    if max(parts) > LONGEST_NAME or sum(parts) + len(parts) > LONGEST_PATH:
        raise UserError(f"{where}: the file name {_shown(name)} is too long", "name the image file")
    return path.with_suffix("").as_posix()


def phrase_key(text: str) -> str:
    """What two spellings of one phrase share: no outer blanks, no case, no final full stop; may be empty."""
    return text.strip().casefold().removesuffix(".").rstrip()


def one_target_each(names: Iterable[str], prompts: Mapping[str, str]) -> dict[str, list[str]]:
    """Target -> the names that belong to it, in the order of `names`; a target is called by its first name.

    Names are one target when their prompts (default: the name itself) are one phrase, see `phrase_key`: a model must
    never be asked the same question twice with two different answers. What is united is logged.
    Raises UserError for a prompt without a phrase.
    """
    by_phrase: dict[str, list[str]] = {}
    for name in names:
        key = phrase_key(prompts.get(name, name))
        if not key:
            raise UserError(
                f"the prompt of {name!r} is empty", f"set data.options.prompts, for example {{{name}: vein}}"
            )
        by_phrase.setdefault(key, []).append(name)
    for phrase, members in by_phrase.items():
        if len(members) > 1:
            log.warning("%s are one target: their prompts are the same phrase %r", ", ".join(members), phrase)
    return {members[0]: members for members in by_phrase.values()}


def chosen(wanted: list[str] | None, known: Iterable[str], kind: str, where: str) -> list[str]:
    """The names `wanted` (None: all known ones), sorted; UserError for one that does not occur."""
    names = sorted(set(known))
    for name in wanted or ():
        if name not in names:
            raise UserError(f"{where} has no {kind} {name!r}", nearest(name, names))
    return sorted(set(wanted)) if wanted is not None else names


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
