"""What predicts: a finished run, or a folder that `vesselbench export` has written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from vesselbench.config import Recipe
from vesselbench.errors import UserError
from vesselbench.evaluation.predict import Predictor, find_device, load_predictor, task_of
from vesselbench.export import MANIFEST, exported_forms
from vesselbench.modelcard import PUBLIC_RECIPE
from vesselbench.plugins import Catalogue
from vesselbench.recipes import model_settings, read_yaml, validate_recipe
from vesselbench.reopen import check_base, open_recipe
from vesselbench.rundir import RunDir, file_sha256, read_json
from vesselbench.types import Task

log = logging.getLogger(__name__)
EXPORT_AGAIN = "it was made by another version: export the run again"


@dataclass(frozen=True)
class Source:
    """A trained model that can be read. `threshold`: chosen on the validation set, or the recipe's.

    `prompts`: target -> the phrases that it was trained with; None when that is not recorded. `reads_prompt`: whether
    the model looks at the phrase at all. `load(device)` reads the weights, which may take minutes.
    """

    kind: Literal["run", "export"]
    path: Path
    recipe: Recipe
    task: Task
    threshold: float
    prompts: Mapping[str, tuple[str, ...]] | None
    reads_prompt: bool
    load: Callable[[str], Predictor]


def open_source(path: Path, catalogue: Catalogue) -> Source:
    """The model in a run's folder or in an exported one; nothing heavy is read.

    Raises UserError for another folder, for a run that has not finished and for a record without task or threshold;
    `load` does for base weights that have changed, for an export with a file that is not the one it was checked with,
    for weights that do not fit and for a device that is not there.
    """
    if (path / MANIFEST).is_file():
        return _open_export(path, catalogue)
    if not (path / "run.json").is_file():
        raise UserError(
            f"{path} is neither a run nor an export (no run.json, no {MANIFEST})",
            "give the folder below runs/<recipe>/",
        )
    return _open_run(RunDir(path), catalogue)


def _open_run(run: RunDir, catalogue: Catalogue) -> Source:
    record, where = run.record(), run.record_file
    if record.get("status") != "finished":
        raise UserError(f"{run.path} has not finished (status: {record.get('status')})", "train it to the end first")
    recipe = open_recipe(run, catalogue)
    said = record.get("prompts")
    prompts = None if said is None else {target: tuple(phrases) for target, phrases in said.items()}
    task, threshold = task_of(record, where), _threshold(record, where)

    def load(device: str) -> Predictor:
        check_base(run, recipe, catalogue)
        return load_predictor(run, catalogue, device)

    return Source("run", run.path, recipe, task, threshold, prompts, _reads_prompt(recipe, catalogue), load)


def _open_export(folder: Path, catalogue: Catalogue) -> Source:
    where = folder / MANIFEST
    manifest = read_json(where)
    recipe = validate_recipe(read_yaml(folder / PUBLIC_RECIPE), catalogue)
    task, threshold = task_of(manifest, where), _threshold(manifest, where)

    def load(device: str) -> Predictor:
        place = find_device(device)
        _check_files(folder, manifest)
        form, reopen = next(iter(exported_forms(recipe, task, catalogue, folder).items()))
        log.info("reading %s of %s", form, folder)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.train.seed)
            module, collate = reopen()
        return Predictor.of(module, collate, place, recipe, manifest["trained_weights_sha256"])

    return Source("export", folder, recipe, task, threshold, None, _reads_prompt(recipe, catalogue), load)


def _check_files(folder: Path, manifest: Any) -> None:
    """Refuse an export of which a file is gone or is not the one that was written and checked."""
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not files:
        raise UserError(f"{folder / MANIFEST} names no files", EXPORT_AGAIN)
    root = folder.resolve()
    for name, digest in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(root):
            raise UserError(f"{folder / MANIFEST} names a file outside of the export: {name!r}", EXPORT_AGAIN)
        if not path.is_file():
            raise UserError(f"{path} is gone; the export is not complete", "copy it again, whole")
        if file_sha256(path) != digest:
            raise UserError(f"{path} is not the file that was exported (its SHA-256 differs)", "copy it again")


def _threshold(record: Mapping[str, Any], where: Path) -> float:
    threshold = record.get("threshold")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise UserError(f"{where}: the threshold is {threshold!r}", "train the run to the end, then export it")
    return float(threshold)


def _reads_prompt(recipe: Recipe, catalogue: Catalogue) -> bool:
    plugin, config = model_settings(recipe, catalogue)
    return bool(hasattr(plugin, "reads_prompt") and plugin.reads_prompt(config))
