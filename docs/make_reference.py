"""Write docs/config.md: every key of a recipe, from the types and the attribute docstrings in the code."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vesselbench.config import Recipe
from vesselbench.data.formats.arcade import ArcadeOptions
from vesselbench.data.formats.coco import CocoOptions
from vesselbench.data.formats.labelme import LabelMeOptions
from vesselbench.data.formats.pairs import PairsOptions
from vesselbench.data.formats.sa2va import Sa2VAOptions
from vesselbench.data.formats.slices import SlicesOptions
from vesselbench.data.synthetic.phantom import PhantomOptions
from vesselbench.plugins import load_catalogue
from vesselbench.recipes import part_of

IN_TREE = "monai,sa2va"
FORMATS: dict[str, type[BaseModel]] = {
    "phantom": PhantomOptions,
    "pairs": PairsOptions,
    "coco": CocoOptions,
    "sa2va": Sa2VAOptions,
    "labelme": LabelMeOptions,
    "arcade": ArcadeOptions,
    "slices": SlicesOptions,
}
HEAD = """# Every key of a recipe

Made by `make docs` from the code; do not edit. `vesselbench config NAME` prints a recipe with all its values,
`vesselbench config NAME --explain KEY` explains one key. A recipe file, `-c FILE` and `KEY=VALUE` on the command line
set keys, in this order; an unknown key is an error. None is written `null`. Without `name`, the recipe file's own
name stands in.
"""
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥"}
WORDS = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "Path": "path"}


def reference() -> str:
    """The whole page: the core's keys, the models of this distribution, the options of the built-in formats."""
    models = load_catalogue(IN_TREE).models
    tables = [_table("Recipe", Recipe, "")]
    tables += [_table(f"Model `{name}`", models[name].Config, "model.") for name in sorted(models)]
    tables += [_table(f"Options of the format `{name}`", kind, "data.options.") for name, kind in FORMATS.items()]
    return "\n".join([HEAD, *tables])


def _table(title: str, part: type[BaseModel], prefix: str) -> str:
    rows = [f"| `{key}` | {kind} | {default} | {text} |" for key, kind, default, text in _rows(part, prefix)]
    return "\n".join([f"## {title}", "", "| key | type | default | what it does |", "|---|---|---|---|", *rows, ""])


def _rows(part: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """(key, type, default, text) of each key; the keys of an inner part follow in its place."""
    for name, field in part.model_fields.items():
        inner = part_of(field.annotation)
        if inner is not None:
            yield from _rows(inner, f"{prefix}{name}.")
            continue
        text = " ".join((field.description or "").split())
        assert text, f"{prefix}{name} has no docstring"
        yield f"{prefix}{name}", _kind(field.annotation) + _bounds(field), _default(field), text.replace("|", "\\|")


def _kind(annotation: Any) -> str:
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _kind(inside[0])
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in inside)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_kind(choice) for choice in inside)
    if origin is tuple and ... not in inside:
        return f"list of {len(inside)}: {_kind(inside[0])}"
    if origin in (list, tuple):
        return f"list: {_kind(inside[0])}"
    if origin is dict:
        return "mapping" if inside[1] is Any else f"mapping to {_kind(inside[1])}"
    return "`null`" if annotation is type(None) else WORDS[annotation.__name__]


def _bounds(field: FieldInfo) -> str:
    limits = [(getattr(limit, name, None), sign) for limit in field.metadata for name, sign in BOUNDS.items()]
    return "".join(f", {sign} {limit:g}" for limit, sign in limits if limit is not None)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be set"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, str):
        return f"`{value}`" if value else "empty"
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    Path(__file__).with_name("config.md").write_text(reference(), encoding="utf-8")
