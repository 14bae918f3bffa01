"""A copy in the folder tree of ARCADE: ``TASK/SET/images`` and ``TASK/SET/annotations/SET.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vesselbench.data.converting.scene import Scene, Scenes, WriteOptions
from vesselbench.data.converting.writers import coco_document, write_document
from vesselbench.data.formats.arcade import SETS
from vesselbench.errors import UserError

_STENOSIS, _SEGMENT = "stenosis", "segment "


def arcade_image(scene: Scene, scenes: Scenes) -> str:
    """Where an image lies below the copy."""
    set_name, name = _in_set(scene)
    return f"{_task(scenes)}/{set_name}/images/{name}"


def write_arcade(folder: Path, scenes: Scenes, options: WriteOptions) -> dict[str, Any]:
    """A COCO file for each set: for the targets ``segment N`` the categories N, else one category for the one target.

    UserError for several targets that are not segments.
    """
    scenes.require_all_targets("arcade")
    segments = all(target.startswith(_SEGMENT) for target in scenes.targets)
    if len(scenes.targets) > 1 and not segments:
        reason = f"ARCADE has segments, or stenoses, not the targets {', '.join(scenes.targets)}"
        raise UserError(reason, "write coco, or one target at a time by the options of the format")
    names = {target: target.removeprefix(_SEGMENT) for target in scenes.targets}
    task = _task(scenes)
    sets: list[str] = []
    for set_name in SETS:
        members = {scene: _in_set(scene)[1] for scene in scenes.every if _in_set(scene)[0] == set_name}
        if members:
            sets.append(set_name)
            document = coco_document(members, names, options)
            write_document(folder / task / set_name / "annotations" / f"{set_name}.json", document)
    reading: dict[str, Any] = {"task": task, "sets": sets}
    if segments and len(scenes.targets) > 1:
        return reading | {"per_class": True}
    return reading | {"prompt": next(iter(scenes.targets.values()))}


def _task(scenes: Scenes) -> str:
    return "stenosis" if set(scenes.targets) == {_STENOSIS} else "syntax"


def _in_set(scene: Scene) -> tuple[str, str]:
    """(set, file name within it)."""
    set_name, _, name = scene.name.partition("/")
    assert set_name in SETS, "names.in_sets put every image into one"
    return set_name, name
