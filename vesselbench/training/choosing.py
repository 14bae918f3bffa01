"""Instead of a training, for a model with nothing to train: the validation set chooses among its settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from pydantic import BaseModel

from vesselbench import distributed
from vesselbench.config import Recipe
from vesselbench.data.cache import open_cache
from vesselbench.data.dataset import Dataset
from vesselbench.errors import UserError
from vesselbench.evaluation.evaluate import evaluate
from vesselbench.evaluation.predict import Predictor
from vesselbench.hookspecs import ModelPlugin
from vesselbench.model import build_model, count_parts
from vesselbench.plugins import Catalogue, is_trained
from vesselbench.recipes import dump_recipe, model_settings
from vesselbench.rundir import RunDir, write_text
from vesselbench.training.saving import save_checkpoint
from vesselbench.training.trackers import Trackers
from vesselbench.watch import Watch

NO_STEP = 0
"""The checkpoint's number: no optimizer step was made."""


def choose(
    recipe: Recipe,
    catalogue: Catalogue,
    dataset: Dataset,
    run: RunDir,
    device: torch.device,
    watch: Watch,
    trackers: Trackers,
    progress: Callable[[int, int], None],
) -> None:
    """Score every choice of the recipe's model on the validation set, each at its own best threshold; keep the best.

    config.yaml then states what was chosen, run.json under ``tried`` everything that was tried. The metric is
    ``train.keep_best``, or the primary one. A run that goes on after its choice was made keeps it.
    Raises UserError for ``train.precision`` other than fp32 and when no choice has a value of the metric.
    """
    if recipe.train.precision != "fp32":
        raise UserError(
            f"train.precision={recipe.train.precision}: {recipe.model['name']!r} has no weights to hold in it",
            "leave train.precision out",
        )
    plugin, config = model_settings(recipe, catalogue)
    watch.line(f"run {run.path}")
    watch.line(
        f"{plugin.name} has nothing to train: no optimizer step is made, and the length of the training has no effect"
    )
    metric = recipe.train.keep_best or recipe.evaluation.primary
    tried = distributed.on_first(lambda: run.record().get("tried"))
    if tried is None:
        tried = _try_all(recipe, catalogue, dataset, device, watch, trackers, progress, choices_of(plugin, config))
        distributed.on_first(partial(run.update, **tried))
        tried = tried["tried"]
    sign = 1 if catalogue.metrics[metric].better == "higher" else -1
    scored = [one for one in tried if one["means"][metric] is not None]
    if not scored:
        raise UserError(f"no setting of {plugin.name!r} has a {metric} on the validation set", "choose another metric")
    best = max(scored, key=lambda one: sign * one["means"][metric])  # the first of equal ones
    watch.table(
        f"Tried on {len(dataset.of('val'))} validation samples: {metric} at the best threshold of each",
        [(_words(one["model"]), _score_words(one, metric, one is best)) for one in tried],
    )
    _keep(recipe, catalogue, dataset, run, device, best, len(tried), metric)


def choices_of(plugin: ModelPlugin, config: BaseModel) -> list[BaseModel]:
    """The choices of a model with nothing to train; ValueError when it has none."""
    assert not is_trained(plugin)
    found: list[BaseModel] = list(plugin.choices(config))  # type: ignore[attr-defined]
    if not found:
        raise ValueError(f"the model {plugin.name!r} has no choices; see docs/hooks.md")
    return found


def stated(recipe: Recipe, config: BaseModel | dict[str, Any]) -> Recipe:
    """The recipe with these settings of its model."""
    values = config if isinstance(config, dict) else config.model_dump(mode="json")
    return recipe.model_copy(update={"model": {"name": recipe.model["name"], **values}})


def _try_all(
    recipe: Recipe,
    catalogue: Catalogue,
    dataset: Dataset,
    device: torch.device,
    watch: Watch,
    trackers: Trackers,
    progress: Callable[[int, int], None],
    choices: list[BaseModel],
) -> dict[str, Any]:
    """What run.json holds of it: `tried`, a list of settings, threshold and mean of every metric; `choice_seconds`."""
    tried, begun = [], time.perf_counter()
    for number, config in enumerate(choices, 1):
        one = stated(recipe, config)
        module = build_model(one, dataset.task, catalogue)
        collate = catalogue.models[one.model["name"]].collator(config, dataset.task)
        result = evaluate(
            Predictor.of(module, collate, device, one),
            dataset.of("val"),
            recipe.evaluation.while_training(),
            catalogue,
            set_name="val",
            fingerprint=dataset.split.fingerprint,
            progress=progress,
            cache=open_cache(recipe.data),
        )
        means = {name: result.scores.mean(name) for name in result.scores.metric_versions}
        tried.append({"model": config.model_dump(mode="json"), "threshold": result.scores.threshold, "means": means})
        trackers.log(number, {f"val/{name}": mean for name, mean in means.items() if mean is not None})
        trackers.scores = result.scores
        watch.progress("choose", number, len(choices))
    return {"tried": tried, "choice_seconds": time.perf_counter() - begun}


def _keep(
    recipe: Recipe,
    catalogue: Catalogue,
    dataset: Dataset,
    run: RunDir,
    device: torch.device,
    best: dict[str, Any],
    count: int,
    metric: str,
) -> None:
    """Write the chosen settings, as config.yaml and as weights, and what a run tells of itself."""
    chosen = stated(recipe, best["model"])
    module = build_model(chosen, dataset.task, catalogue)
    distributed.on_first(partial(write_text, run.config, dump_recipe(chosen)))
    save_checkpoint(run, NO_STEP, module, None)
    parts = count_parts(module)
    facts = {
        "steps": NO_STEP,
        "budget": f"no training; {count} settings tried on the validation set",
        "optimizer": None,
        "validations": count,
        "stopped_early": False,
        "saved_weights": "settings, none trained",
        "zero_stage": 0,
        "world": distributed.world(),
        "device": str(device),
        "parameters": {"total": sum(total for total, _ in parts.values()), "trainable": 0, "parts": parts},
        "base_weights": {},
        "weights": "no",
        **dict.fromkeys(("train_seconds", "seconds_per_step", "samples_per_second", "peak_memory_bytes", "energy")),
        "best_metric": metric,
        "best_score": best["means"][metric],
        "best_step": NO_STEP,
        "last_step": NO_STEP,
    }
    distributed.on_first(partial(run.update, **facts))


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _score_words(one: dict[str, Any], metric: str, chosen: bool) -> str:
    score = one["means"][metric]
    shown = "without value" if score is None else f"{score:.4f} at {one['threshold']:.2f}"
    return f"{shown} (chosen)" if chosen else shown
