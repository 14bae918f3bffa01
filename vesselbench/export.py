"""A trained run as files for the world outside, which are read again before they are handed over."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vesselbench.config import Recipe
from vesselbench.data.loader import Collate
from vesselbench.errors import UserError
from vesselbench.hookspecs import ModelPlugin, Reopened
from vesselbench.model import (
    build_model,
    load_trained,
    load_weights,
    read_safetensors,
    refuse_faulty,
    trained_names,
    write_safetensors,
)
from vesselbench.modelcard import CARD, PUBLIC_RECIPE, model_card, public_name, public_recipe
from vesselbench.plugins import Catalogue, is_trained
from vesselbench.recipes import dump_recipe, model_settings
from vesselbench.reopen import open_recipe
from vesselbench.reproduction import Evidence, Reproduction, find_evidence, hold_against, predict_as_run
from vesselbench.rundir import RunDir, file_sha256, write_json, write_text
from vesselbench.types import Prediction, Task
from vesselbench.watch import Watch

WEIGHTS = "weights.safetensors"
MANIFEST = "export.json"
NEW_FOLDER = "name a folder that does not exist yet"
Sections = dict[str, list[str]]


class FailedCheckError(UserError):
    """A form predicts something else than the run: its files are kept to be looked at."""


def export(run: RunDir, to: Path, catalogue: Catalogue, watch: Watch) -> Path:
    """Write the run's best weights, its recipe and a model card into the new folder `to`, and return its real path.

    Everything is written under another name beside `to`, opened again and made to predict an image whose prediction the
    run has stored; only then it gets its name. Raises UserError when `to` is not free, when the run has no weights, no
    stored prediction of them, or other data or base weights than it was trained on, when nothing was trained or what
    was trained is damaged, and FailedCheckError when a form that was read again predicts something else (its files are
    then kept, under the other name). Whatever else ends it, an interruption too, leaves nothing behind.
    """
    to = find_free(to)
    record, weights = run.record(), run.weights()
    recipe = open_recipe(run, catalogue)
    refuse_other_base(recipe, catalogue, record.get("base_weights") or {})
    evidence = find_evidence(run, recipe, catalogue, file_sha256(weights))
    task = Task(tuple(record["task"]["targets"]), int(record["task"]["channels"]))
    folder = to.parent / f".{to.name}.{secrets.token_hex(3)}.partial"
    with _removed_unless_kept(folder):
        sections, own = _write(recipe, task, catalogue, weights, folder, evidence)
        for line in sections.get("Contents", []):
            watch.line(line.removeprefix("- "))
        checks = list(_check(recipe, task, catalogue, folder, evidence, own))
        for check in checks:
            watch.line(str(check))
        write_text(folder / PUBLIC_RECIPE, dump_recipe(public_recipe(recipe)))
        write_text(folder / CARD, model_card(run, recipe, sections, [str(check) for check in checks]))
        write_json(folder / MANIFEST, _manifest(record, public_name(recipe), folder, weights, checks))
        with _disk_errors(f"cannot rename {folder} to {to}"):
            os.replace(folder, to)
    return to


def find_free(to: Path) -> Path:
    """The real path of a new or empty folder `to`, links followed; nothing is made.

    Raises UserError for a file, a folder that holds something, one that cannot be made because what lies above it is no
    folder or may not be written to, and one that cannot be replaced when all is written: the working directory and a
    mount point.
    """
    real = Path(os.path.realpath(to.expanduser()))
    if real == Path(os.path.realpath(os.curdir)):
        raise UserError(f"{to} is the working directory, which cannot be replaced", NEW_FOLDER)
    if os.path.ismount(real):
        raise UserError(f"{to} is a mount point, which cannot be replaced", NEW_FOLDER)
    with _disk_errors(f"cannot make the folder {to}"):
        if os.path.lexists(real) and not (real.is_dir() and not any(real.iterdir())):
            raise UserError(f"{to} exists and is not empty", "nothing is overwritten: name a new folder with --to")
        above = next(parent for parent in real.parents if os.path.lexists(parent))
        if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
            reason = "may not be written to" if above.is_dir() else "is no folder"
            raise UserError(f"cannot make the folder {to}: {above} {reason}", "choose another folder with --to")
    return real


def refuse_other_base(recipe: Recipe, catalogue: Catalogue, recorded: Mapping[str, str]) -> None:
    """UserError, with their names, for base files that are no longer those of the record (path -> SHA-256)."""
    plugin, config = model_settings(recipe, catalogue)
    now: dict[str, str] = plugin.base_weights(config) if hasattr(plugin, "base_weights") else {}
    changed = sorted(name for name in {*now, *recorded} if now.get(name) != recorded.get(name))
    if changed:
        raise UserError(
            f"the base weights are not those that the run was trained on: {', '.join(changed)}",
            "put the files back that run.json names; what was trained means nothing on others",
        )


def build_trained(recipe: Recipe, task: Task, catalogue: Catalogue, weights: Path) -> torch.nn.Module:
    """The run's module on CPU, in the type its settings hold it in.

    Raises UserError for weights that `refuse_faulty` refuses, that do not fit, and that are those it started from.
    """
    tensors = read_safetensors(weights)
    refuse_faulty(tensors, f"refused to export {weights}")
    module = build_model(recipe, task, catalogue)
    state = module.state_dict()
    names = [name for name in trained_names(module) if name in tensors]
    trained = is_trained(catalogue.models[recipe.model["name"]])
    if trained and all(torch.equal(state[name].to(tensors[name].dtype), tensors[name]) for name in names):
        raise UserError(
            f"refused to export {weights}: all {len(names)} tensors equal those that the training started from",
            "nothing was trained: check the log of the run",
        )
    load_trained(module, weights)
    return module.eval()


def _write(
    recipe: Recipe, task: Task, catalogue: Catalogue, weights: Path, folder: Path, evidence: Evidence
) -> tuple[Sections, Prediction]:
    """Write every form into the new `folder`; returns the card's sections and what the run's own weights predict now.

    The module is gone afterwards: a large one fits into memory once.
    """
    plugin, config = model_settings(recipe, catalogue)
    module = build_trained(recipe, task, catalogue, weights)
    with _disk_errors(f"cannot write {folder}"):
        folder.mkdir(parents=True)
        sections = plugin.export(module, config, folder) if hasattr(plugin, "export") else _write_plain(module, folder)
    own = predict_as_run(lambda: (module, plugin.collator(config, task)), evidence, recipe)
    hold_against(evidence, "the run's own weights", own, own, recipe)
    return sections, own


def _write_plain(module: torch.nn.Module, folder: Path) -> Sections:
    """The form of a model without one of its own: all parameters and persistent buffers in one file."""
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in module.state_dict().items()}
    write_safetensors(folder / WEIGHTS, tensors)
    return {
        "Contents": [f"- `{WEIGHTS}`: all {len(tensors)} parameters and buffers, by name"],
        "How to load": [
            f"`vesselbench.model.load_weights(module, [Path('{WEIGHTS}')])`, which accounts for every key. The",
            f"module is the one that the plugin of the model makes by `build` from the settings in `{PUBLIC_RECIPE}`.",
        ],
    }


def _check(
    recipe: Recipe, task: Task, catalogue: Catalogue, folder: Path, evidence: Evidence, own: Prediction
) -> Iterator[Reproduction]:
    """Every form read from its files alone, one after the other, and held against the stored mask."""
    for form, reopen in exported_forms(recipe, task, catalogue, folder).items():
        try:
            yield hold_against(evidence, form, predict_as_run(reopen, evidence, recipe), own, recipe)
        except UserError as error:
            raise FailedCheckError(
                f"the export failed its check: {error.message}",
                f"do not use {folder}, kept to be looked at; {error.hint}",
            ) from None


def exported_forms(recipe: Recipe, task: Task, catalogue: Catalogue, folder: Path) -> dict[str, Reopened]:
    """Every form in an exported folder by name, the one that needs nothing else first; each reads its files alone."""
    plugin, config = model_settings(recipe, catalogue)
    if hasattr(plugin, "export"):
        return _reopened(plugin, config, task, folder)

    def reopen() -> tuple[torch.nn.Module, Collate]:
        module = build_model(recipe, task, catalogue)
        load_weights(module, [folder / WEIGHTS])
        return module, plugin.collator(config, task)

    return {WEIGHTS: reopen}


def _reopened(plugin: ModelPlugin, config: Any, task: Task, folder: Path) -> dict[str, Reopened]:
    if not hasattr(plugin, "reopen"):
        raise TypeError(f"the model {plugin.name!r} has export but no reopen; see docs/hooks.md")
    forms: dict[str, Reopened] = plugin.reopen(config, task, folder)
    if not forms:
        raise ValueError(f"the model {plugin.name!r} reopens nothing of what it exported")
    return forms


def _manifest(
    record: dict[str, Any], name: str, folder: Path, weights: Path, checks: list[Reproduction]
) -> dict[str, Any]:
    """What export.json holds: which recipe and weights, every file with its SHA-256, and the checks."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "recipe": name,
        "model": record["model"],
        "task": record["task"],
        "trained_weights_sha256": file_sha256(weights),
        "threshold": record.get("threshold"),
        "split_fingerprint": record.get("split_fingerprint"),
        "versions": record.get("versions"),
        "files": {path.relative_to(folder).as_posix(): file_sha256(path) for path in files},
        "checks": [asdict(check) for check in checks],
    }


@contextmanager
def _disk_errors(what: str) -> Iterator[None]:
    """OSErrors of the block as UserErrors that start with `what`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{what}: {error.strerror or error}", "choose another folder with --to") from error


@contextmanager
def _removed_unless_kept(folder: Path) -> Iterator[None]:
    """Remove `folder` when the block raises anything but FailedCheckError; what stays is named beside the error."""
    try:
        yield
    except FailedCheckError:
        raise
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            raise
        left = f"{folder} could not be removed"
        if isinstance(error, UserError):
            raise UserError(f"{error.message}; {left}", error.hint) from error
        error.add_note(left)
        raise
