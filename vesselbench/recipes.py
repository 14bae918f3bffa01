"""Reading a recipe: defaults < recipe file < extra files < dotted overrides, each step named."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from vesselbench.config import Recipe
from vesselbench.config.train import BUDGETS
from vesselbench.errors import UserError
from vesselbench.hookspecs import ModelPlugin
from vesselbench.plugins import Catalogue, nearest

SHIPPED = "vesselbench_configs"
MODEL = TypeVar("MODEL", bound=BaseModel)


def load_recipe(
    name_or_path: str,
    catalogue: Catalogue,
    extra: Sequence[str] = (),
    overrides: Sequence[str] = (),
) -> tuple[Recipe, list[str]]:
    """Return the complete, validated recipe and one line per step that shaped it.

    `name_or_path` is a YAML file, else ``configs/NAME.yaml`` below the working directory, else the shipped recipe of
    that name, else the name of a registered model (all its defaults). `extra` are files merged left to right,
    `overrides` dotted ``key=value`` texts. Raises UserError with the path of the key that is wrong.
    """
    values, source = _base(name_or_path, catalogue)
    steps = [f"recipe {source}"]
    for name in extra:
        path = find_config(name)
        if path is None:
            raise UserError(f"no configuration file {name!r}", f"shipped: {', '.join(shipped_names())}")
        values = _claim(_layer(values, layer := read_yaml(path)), layer)
        steps.append(f"file {name}")
    for text in overrides:
        values = _claim(_layer(values, layer := parse_override(text)), layer)
        steps.append(f"command line {text}")
    values.setdefault("name", Path(name_or_path).stem)
    return validate_recipe(values, catalogue), steps


def stand_ins(recipe: Recipe) -> list[str]:
    """A line that names the built-in stand-ins a recipe uses, and the keys that change them; empty without any."""
    parts = []
    if recipe.data.format == "phantom":
        parts.append("data are drawn phantoms (your own: data.format and data.root)")
    if "weights" in recipe.model and not recipe.model["weights"]:
        parts.append("weights are random (real ones: model.size and model.weights)")
    return ["built-in stand-ins: " + "; ".join(parts)] if parts else []


def _base(name_or_path: str, catalogue: Catalogue) -> tuple[dict[str, Any], str]:
    path = find_config(name_or_path)
    if path is not None:
        return read_yaml(path), str(path)
    if name_or_path in catalogue.models:
        return {"model": {"name": name_or_path}}, f"defaults of the model {name_or_path!r}"
    known = sorted({*shipped_names(), *catalogue.models})
    raise UserError(f"no recipe or model named {name_or_path!r}", nearest(name_or_path, known))


def find_config(name: str) -> Path | None:
    """The YAML file that `name` stands for: a path, configs/NAME.yaml here, or the shipped NAME.yaml."""
    if name.endswith((".yaml", ".yml")):
        return Path(name) if Path(name).is_file() else None
    here = Path("configs") / f"{name}.yaml"
    if here.is_file():
        return here
    shipped = package_files(SHIPPED).joinpath(f"{name}.yaml")
    return Path(str(shipped)) if shipped.is_file() else None


def shipped_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(entry.name[:-5] for entry in package_files(SHIPPED).iterdir() if entry.name.endswith(".yaml"))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; UserError when the file cannot be read, with line and column when it is not one."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}", "mend the file at that place") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{path} holds no mapping of keys to values", "a recipe starts with `model:`")
    return values


def merge(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Deep merge: mappings are merged, everything else (lists too) is replaced."""
    merged = dict(base)
    for key, value in other.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _layer(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """`merge`, but a length of the training replaces another one: a recipe in steps can be asked for some epochs."""
    merged, train = merge(base, other), other.get("train")
    if isinstance(train, dict) and any(train.get(key) is not None for key in BUDGETS):
        merged["train"] = {key: value for key, value in merged["train"].items() if key not in BUDGETS or key in train}
    return merged


def _claim(values: dict[str, Any], set_now: Mapping[str, Any]) -> dict[str, Any]:
    """The same without those keys of ``configure`` that were just set: what the user says needs no rule."""
    listed = values.get("configure")
    if not isinstance(listed, list) or "configure" in set_now:
        return values
    return {**values, "configure": [key for key in listed if not _is_set(set_now, str(key))]}


def _is_set(values: Mapping[str, Any], key: str) -> bool:
    if key == "train.steps" and any(_is_set(values, f"train.{unit}") for unit in BUDGETS if unit != "steps"):
        return True  # another unit of the training's length
    part: Any = values
    for name in key.split("."):
        if not isinstance(part, dict) or name not in part:
            return False
        part = part[name]
    return True


def parse_override(text: str) -> dict[str, Any]:
    """``train.lr=1e-4`` as a nested mapping; the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise UserError(f"{text!r} is not an override", "write key=value, for example train.lr=1e-4")
    try:
        parsed: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"the value of {key!r} is not YAML: {value!r}", "quote it for your shell") from error
    for part in reversed(key.split(".")):
        parsed = {part: parsed}
    return typing.cast(dict[str, Any], parsed)


def validate_recipe(values: Mapping[str, Any], catalogue: Catalogue) -> Recipe:
    """Check everything: the core's keys, then the model's own keys by its Config (defaults filled in)."""
    model = values.get("model")
    if not isinstance(model, dict) or "name" not in model:
        raise UserError("the recipe names no model", f"set model.name; {nearest('', catalogue.models)}")
    recipe = _validate(Recipe, values, "")
    plugin, config = model_settings(recipe, catalogue)
    complete = {"name": plugin.name, **absolute_paths(config).model_dump(mode="json")}
    for name in recipe.evaluation.metrics:
        catalogue.metrics[name]
    for name in recipe.trackers:
        catalogue.trackers[name]
    catalogue.datasets[recipe.data.format]
    # a run must find its data and weights from any working directory
    return absolute_paths(recipe).model_copy(update={"model": complete})


def absolute_paths(settings: MODEL) -> MODEL:
    """The same settings with every path in them, also in inner parts and lists, absolute and without ``~``."""
    changed = {name: _absolute(getattr(settings, name)) for name in type(settings).model_fields}
    return settings.model_copy(update=changed)


def _absolute(value: Any) -> Any:
    if isinstance(value, Path):
        return value.expanduser().absolute()
    if isinstance(value, BaseModel):
        return absolute_paths(value)
    if isinstance(value, list | tuple):
        return type(value)(_absolute(item) for item in value)
    return value


def model_settings(recipe: Recipe, catalogue: Catalogue) -> tuple[ModelPlugin, BaseModel]:
    """The plugin that the recipe names and its validated Config."""
    options = {key: value for key, value in recipe.model.items() if key != "name"}
    plugin = catalogue.models[str(recipe.model["name"])]
    return plugin, _validate(plugin.Config, options, "model.")


def validate_options(schema: type[MODEL], options: Mapping[str, Any], where: str) -> MODEL:
    """Check `options` against a pydantic model; `where` is the dotted path that messages start with."""
    return _validate(schema, options, where)


def _validate(schema: type[MODEL], values: Mapping[str, Any], prefix: str) -> MODEL:
    _refuse_unknown(schema, values, prefix)
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = prefix + ".".join(str(part) for part in first["loc"])
        given = first.get("input")
        shown = "" if isinstance(given, (dict, BaseModel)) else f" (given: {given!r})"
        more = f"; {error.error_count() - 1} more" if error.error_count() > 1 else ""
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(
            f"{key.rstrip('.') or 'recipe'}: {message}{shown}{more}", _explain(schema, first["loc"])
        ) from None


def _refuse_unknown(schema: type[BaseModel], values: Mapping[str, Any], prefix: str) -> None:
    for key, value in values.items():
        field = schema.model_fields.get(key)
        if field is None:
            raise UserError(f"unknown key {prefix + str(key)!r}", nearest(str(key), list(schema.model_fields)))
        inner = part_of(field.annotation)
        if inner is not None and isinstance(value, dict):
            _refuse_unknown(inner, value, f"{prefix}{key}.")


def part_of(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside an annotation (also inside ``Part | None``), if there is one."""
    choices = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    for choice in choices:
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return choice
    return None


def _explain(schema: type[BaseModel], path: tuple[int | str, ...]) -> str:
    part: type[BaseModel] | None = schema
    for key in path:
        field = part.model_fields.get(str(key)) if part is not None else None
        if field is None:
            return ""
        part = part_of(field.annotation)
        if part is None:
            return " ".join((field.description or "").split())
    return ""


def explain_key(recipe: Recipe, key: str, catalogue: Catalogue) -> str:
    """What a dotted key does, its type and its value in `recipe`; UserError for an unknown key."""
    part: type[BaseModel] | None = Recipe
    value: Any = recipe.model_dump(mode="json")
    names = key.split(".")
    if names[0] == "model" and len(names) > 1:
        part, value, names = model_settings(recipe, catalogue)[0].Config, value["model"], names[1:]
    text = ""
    for name in names:
        if part is None or name not in part.model_fields:
            raise UserError(f"unknown key {key!r}", nearest(name, list(part.model_fields) if part else []))
        field = part.model_fields[name]
        text, value, part = field.description or "", value[name], part_of(field.annotation)
    return f"{key} = {value!r}\n{' '.join(text.split())}"


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, complete and readable back."""
    return dump_settings(recipe.model_dump(mode="json"))


def dump_settings(values: Mapping[str, Any]) -> str:
    """Plain values as YAML, readable back by `read_yaml`."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
