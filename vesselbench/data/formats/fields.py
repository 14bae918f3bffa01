"""Strict reading of annotation JSON: every value is asked for by kind, and every error says file, index and key."""

from __future__ import annotations

import json
import logging
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vesselbench.data.findings import Fault, Place
from vesselbench.errors import UserError
from vesselbench.plugins import nearest

log = logging.getLogger(__name__)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 60
LONGEST_NAME, LONGEST_PATH = 255, 4000  # bytes; what common file systems allow


def load_json(path: Path, place: Place, root: Path) -> Any:
    """The contents of a JSON file of the data set at `root`.

    Fault when it is missing, lies outside the root (through ``..`` or a symbolic link), is no JSON or not UTF-8 (a
    byte order mark is allowed).
    """
    check = "check data.root and data.options"
    if not path.resolve().is_relative_to(root.resolve()):
        reason = f"it lies outside {root}, at {path.resolve()}"
        raise Fault("outside-root", place, reason, "copy it into the data set")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise Fault("missing-file", place, f"the annotation file {path} does not exist", check) from None
    except OSError as error:
        raise Fault("unreadable-file", place, f"cannot read {path}: {error.strerror}", check) from None
    except (ValueError, RecursionError) as error:
        raise Fault("not-json", place, f"{path} is not JSON: {error}", "export the annotations again") from None


def mapping(value: Any, place: Place) -> dict[str, Any]:
    """`value` as a mapping; Fault names the place otherwise."""
    if not isinstance(value, dict):
        raise _wrong(place, "a mapping", value, "export the annotations again")
    return value


def sequence(value: Any, place: Place) -> list[Any]:
    """`value` as a list; Fault names the place otherwise."""
    if not isinstance(value, list):
        raise _wrong(place, "a list", value, "export the annotations again")
    return value


def required(record: dict[str, Any], key: str, place: Place) -> Any:
    """The value of `key`; Fault names the place and the key when it is missing."""
    if key not in record:
        raise Fault("missing-key", place, f"no {key!r}", "add it, or export the annotations again")
    return record[key]


def text(record: dict[str, Any], key: str, place: Place) -> str:
    """The value of `key` as a non-empty string."""
    value = required(record, key, place)
    if not isinstance(value, str) or not value:
        raise _wrong(place.key(key), "a text", value)
    if not _encodable(value):
        raise Fault("wrong-kind", place.key(key), f"{shown(value)} holds half a character", "write it anew, as UTF-8")
    return value


def whole(record: dict[str, Any], key: str, place: Place) -> int:
    """The value of `key` as a positive whole number."""
    value = required(record, key, place)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _wrong(place.key(key), "a positive whole number", value, "mend it")
    return value


def identity(record: dict[str, Any], key: str, place: Place) -> int | str:
    """The value of `key` as an id: a whole number (1.0 is 1) or a text."""
    value = required(record, key, place)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise _wrong(place.key(key), "a number or text", value)
    return value if isinstance(value, int) else text(record, key, place)


def same_id(value: int | str) -> int | str:
    """What a number and its digits share: "12" is 12, "007" stays a text (it may be told from "7")."""
    digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19
    return int(value) if digits and str(int(value)) == value else value


def coordinates(value: Any, place: Place) -> tuple[float, ...]:
    """A flat list of numbers as floats (finite or not: the decoder checks that)."""
    numbers = sequence(value, place)
    for position, number in enumerate(numbers):
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise _wrong(place.item(position), "a number", number)
    try:
        return tuple(float(number) for number in numbers)
    except OverflowError:
        raise Fault("not-finite", place, "a coordinate is too large", "mend the annotation") from None


def stem_of(name: str, place: Place) -> str:
    """A file name without its extension, folders kept, with forward slashes: the id of an image.

    Fault when it names no file (``.``, say), cannot be a name or is longer than file systems allow.
    """
    path = Path(name.replace("\\", "/"))
    if not path.name or path.name == ".." or "\0" in name or not _encodable(name):
        raise Fault("bad-file-name", place, f"{shown(name)} is no file name", "name the image file")
    parts = [len(part.encode()) for part in path.parts]
    if max(parts) > LONGEST_NAME or sum(parts) + len(parts) > LONGEST_PATH:
        raise Fault("bad-file-name", place, f"the file name {shown(name)} is too long", "name the image file")
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


def refuse_equal_prompts(prompts: Mapping[str, str]) -> None:
    """UserError when two targets have one phrase: a model would be asked one question with two answers."""
    owners: dict[str, str] = {}
    for target, prompt in prompts.items():
        first = owners.setdefault(phrase_key(prompt), target)
        if first != target or not phrase_key(prompt):
            reason = f"{first!r} and {target!r} have the same prompt {prompt!r}" if first != target else "is empty"
            raise UserError(f"the prompt of {target!r}: {reason}", "set data.options.prompts")


def chosen(wanted: list[str] | None, known: Iterable[str], kind: str, where: str) -> list[str]:
    """The names `wanted` (None: all known ones), sorted; UserError for one that does not occur."""
    names = sorted(set(known))
    for name in wanted or ():
        if name not in names:
            raise UserError(f"{where} has no {kind} {name!r}", nearest(name, names))
    return sorted(set(wanted)) if wanted is not None else names


def shown(value: Any) -> str:
    """A value of a file in at most 60 characters, however large or deep it is."""
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _wrong(place: Place, wanted: str, value: Any, cure: str = "mend the annotation") -> Fault:
    return Fault("wrong-kind", place, f"expected {wanted}, found {shown(value)}", cure)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
