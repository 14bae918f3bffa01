"""What ``vesselbench data check`` is to look at when it is given a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vesselbench.config import DataConfig
from vesselbench.data.recognise import recognise
from vesselbench.errors import UserError
from vesselbench.recipes import absolute_paths, find_config, merge, parse_override, read_yaml, validate_options


def data_of_folder(root: Path, files: Sequence[str] = (), overrides: Sequence[str] = ()) -> tuple[DataConfig, str]:
    """The data settings for a folder, and one line that says how they were found.

    `files` are YAML files whose ``data`` part counts, `overrides` texts such as ``data.format=coco``; without a format
    it is recognised. Raises UserError for other keys than data's, and for a folder whose format is not to be told.
    """
    values: dict[str, Any] = {}
    for name in files:
        path = find_config(name)
        if path is None:
            raise UserError(f"no configuration file {name!r}", "give a YAML file")
        values = merge(values, {"data": read_yaml(path).get("data", {})})
    for text in overrides:
        values = merge(values, parse_override(text))
    if other := sorted(values.keys() - {"data"}):
        raise UserError(f"{other[0]!r} says nothing about a folder", "only data.* can be set; name a recipe otherwise")
    data = values.get("data", {})
    if not isinstance(data, dict):
        raise UserError(f"data: expected settings, found {data!r}", "for example data.format=coco")
    if "root" in data:
        raise UserError(f"data.root is given twice: {root} and {data['root']}", "leave one of them out")
    said = f"{root}: format {data.get('format')}, as given"
    if "format" not in data:
        seen = recognise(root)
        options = data.get("options", {})
        data = {**data, "format": seen.format}
        data["options"] = {**seen.options, **options} if isinstance(options, dict) else options
        said = f"{root}: format {seen.format}, since {seen.reason}"
    return absolute_paths(validate_options(DataConfig, {**data, "root": root}, "data.")), said
