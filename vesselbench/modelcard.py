"""The model card of an export: what it is, what it was trained on and how well it did, and nothing about patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from vesselbench.config import Recipe
from vesselbench.recipes import shipped_names
from vesselbench.rundir import RunDir, read_json
from vesselbench.types import SET_NAMES

CARD, PUBLIC_RECIPE = "README.md", "config.yaml"
CUSTOM = "custom"
"""Stands for the name of a recipe of the user's own: a file's name can be a patient's, a person's or a hospital's."""
MONITORS = ("tensorboard", "wandb", "comet", "csv_monitor")
"""Parts of the raw DeepSpeed settings that name people, teams and folders, and train nothing."""
Sections = Mapping[str, Sequence[str]]


def public_recipe(recipe: Recipe) -> Recipe:
    """The recipe without what can name patients, people or machines.

    Of ``data`` only the format and the split's seed and shares stay, of the paths of ``model``, ``train.deepspeed`` and
    ``train.offload`` the last part; DeepSpeed's monitors are left out; the name is `public_name`'s.
    """
    split, bare = recipe.data.split, type(recipe.data)()
    shares = {name: getattr(split, name) for name in ("val", "test") if isinstance(getattr(split, name), float)}
    kept = {"format": recipe.data.format, "split": bare.split.model_copy(update={"seed": split.seed, **shares})}
    deepspeed = {key: value for key, value in recipe.train.deepspeed.items() if key not in MONITORS}
    folder = recipe.train.offload.folder
    offload = recipe.train.offload.model_copy(update={"folder": folder and Path(PureWindowsPath(folder).name)})
    changes = {
        "name": public_name(recipe),
        "data": bare.model_copy(update=kept),
        "model": _without_folders(recipe.model),
        "train": recipe.train.model_copy(update={"deepspeed": _without_folders(deepspeed), "offload": offload}),
    }
    return recipe.model_copy(update=changes)


def public_name(recipe: Recipe) -> str:
    """The name of a shipped recipe or of the model; any other is replaced by `CUSTOM`."""
    known = {*shipped_names(), str(recipe.model["name"])}
    return recipe.name if recipe.name in known else CUSTOM


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    return PureWindowsPath(value).name if isinstance(value, str) else value  # it knows both kinds of separator


def model_card(run: RunDir, recipe: Recipe, sections: Sections, checks: Sequence[str]) -> str:
    """Markdown. `sections` are the model's own (heading -> lines), added to those of the same heading here; `checks`
    are sentences.
    """
    record = run.record()
    ours: dict[str, Sequence[str]] = {
        "Contents": [],
        "How to load": [],
        "What it started from": list(_base(record)),
        "Training": list(_training(record, recipe)),
        "Scores": list(_scores(run)),
        "Checks": [f"- {check}" for check in checks],
        "Limits": _limits(record),
        "Licence": _licence(record),
        "Recipe": [
            f"`{PUBLIC_RECIPE}` is the recipe without what can name patients, people or machines: of `data` only the",
            "format and the split's seed and shares are there, of the paths of `model` and `train.deepspeed` the last",
            f"part; a name that is neither a shipped recipe's nor the model's is `{CUSTOM}`.",
        ],
    }
    parts = {heading: [*ours.get(heading, []), *sections.get(heading, [])] for heading in {**ours, **sections}}
    title = f"# {public_name(recipe)}: {record['model']} for vessel segmentation"
    lead = (
        f"Trained and exported with vesselbench {record.get('versions', {}).get('vesselbench', '')}. Threshold:"
        f" {record.get('threshold')}, chosen {_source(recipe)}; a pixel counts as vessel from this probability on."
    )
    blocks = [f"## {heading}\n\n" + "\n".join(lines) for heading, lines in parts.items() if lines]
    return "\n\n".join([title, lead, *blocks]) + "\n"


def _source(recipe: Recipe) -> str:
    return "on the validation set" if recipe.evaluation.threshold == "validation" else "by the recipe"


def _base(record: Mapping[str, Any]) -> Iterator[str]:
    base = record.get("base_weights") or {}
    if not base:
        yield "Random weights: no file of base weights."
        return
    yield "| base file | SHA-256 |\n|---|---|"
    for name, digest in base.items():
        yield f"| {Path(name).name} | `{digest}` |"


def _training(record: Mapping[str, Any], recipe: Recipe) -> Iterator[str]:
    train, parameters = recipe.train, record.get("parameters", {})
    best = record.get("best_step")
    yield f"- data: format {recipe.data.format}; fingerprint of ids, images, masks and split groups"
    yield f"  `{record.get('split_fingerprint')}` (no image, id or patient is named here)"
    steps = record.get("steps", train.steps)
    yield f"- {steps} optimizer steps of {train.batch_size} samples, {train.optimizer}, learning rate {train.lr:g}"
    yield f"- seed {train.seed}, precision {train.precision}; weights of step {best or record.get('last_step')}" + (
        ", the best on the validation set" if best else ""
    )
    if parameters:
        yield f"- parameters: {parameters['total']:,}, trained {parameters['trainable']:,}"
    yield f"- SHA-256 of the trained weights: `{record.get('weights_sha256')}`"


def _scores(run: RunDir) -> Iterator[str]:
    """One table per set that was scored with these weights."""
    wanted = run.record().get("weights_sha256")
    for name in SET_NAMES:
        path = run.evaluation(name) / "summary.json"
        summary = read_json(path) if path.is_file() else {}
        if summary.get("weights_sha256") != wanted or not summary:
            continue
        images = len(run.scores(name).rows)
        chosen = " (the threshold was chosen on these images)" if name == "val" else ""
        yield f"{name} set, {images} images, at threshold {summary['threshold']}{chosen}:\n"
        yield "| metric | mean | median | images without a value |\n|---|---|---|---|"
        for metric, entry in summary["metrics"].items():
            yield f"| {metric} | {_number(entry['mean'])} | {_number(entry['median'])} | {entry['none']} |"
        yield ""


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _limits(record: Mapping[str, Any]) -> list[str]:
    lines = [
        "- Single 2D images. The scores hold for images like those of the data set above and for nothing else.",
        "- Research software; not a medical device. Look at the masks before you use them.",
        "- Weights can give away parts of what they were trained on: share them only as the data may be shared.",
    ]
    if record.get("weights") == "random":
        lines.append("- It started from random weights.")
    return lines


def _licence(record: Mapping[str, Any]) -> list[str]:
    if not record.get("base_weights"):
        return ["No base weights: what you may do with it is decided by you and by the owner of the training data."]
    return [
        "Derived from the base weights above: their licences hold for it too (check each one, also its terms for",
        "medical and commercial use), beside the terms of the training data. This export grants nothing.",
    ]
