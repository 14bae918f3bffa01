"""Getting the runs that a command names: opened, found on the same split, or trained now; and scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vesselbench.config import Recipe
from vesselbench.data.dataset import Dataset, load_dataset
from vesselbench.errors import UserError
from vesselbench.evaluation.score import metrics_of
from vesselbench.plugins import Catalogue
from vesselbench.recipes import find_config, load_recipe, model_settings, parse_override, read_yaml, validate_recipe
from vesselbench.rundir import RunDir, file_sha256, read_json, runs_of
from vesselbench.types import SET_NAMES, SetName, Split
from vesselbench.watch import Watch

Train = Callable[[Recipe], RunDir]


@dataclass(frozen=True)
class Wanted:
    """What the command line said about recipes: extra files and overrides, applied to every name."""

    files: Sequence[str] = ()
    overrides: Sequence[str] = ()


def open_recipe(run: RunDir, catalogue: Catalogue) -> Recipe:
    """The recipe that a run was trained with."""
    return validate_recipe(read_yaml(run.config), catalogue)


def obtain_run(
    name: str, wanted: Wanted, runs: Path, catalogue: Catalogue, train: Train | None, watch: Watch
) -> RunDir:
    """The run that `name` stands for: a run folder, else the newest finished run of the recipe on its split that
    agrees with everything the command line set, else a new one by `train` (None: UserError instead).
    """
    if (Path(name) / "run.json").is_file():
        return RunDir.open(Path(name))
    recipe, _ = load_recipe(name, catalogue, wanted.files, wanted.overrides)
    split = load_dataset(recipe.data, catalogue).split
    for run in runs_of(runs, recipe.name):
        try:
            if run.record().get("status") != "finished" or not same_split(run.split(), split):
                continue
            unlike = differences(recipe, open_recipe(run, catalogue))
        except UserError as error:  # a damaged run, or one of a plugin that is gone, must not block a new one
            watch.line(f"{run.path} is passed over: {error.message}")
            continue
        if "model.name" not in unlike and not asked_for(unlike, wanted):
            _say_reuse(run, unlike, watch)
            return run
    if train is None:
        raise UserError(f"no finished run of {name!r} on this split below {runs}", f"vesselbench train {name}")
    watch.line(f"{name}: no finished run on this split; training it now")
    return train(recipe)


def same_split(one: Split, other: Split) -> bool:
    """Whether two splits deal the same data out in the same way."""
    return one.fingerprint == other.fingerprint and all(
        set(one.sets[name]) == set(other.sets[name]) for name in SET_NAMES
    )


def differences(recipe: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ, with both values."""
    ours, theirs = _flat(recipe.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
    keys = sorted(ours.keys() | theirs.keys())
    return {key: (ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)}


def asked_for(unlike: dict[str, tuple[Any, Any]], wanted: Wanted) -> list[str]:
    """Those of the differing keys that the command line set."""
    keys: set[str] = set()
    for name in wanted.files:
        path = find_config(name)
        assert path is not None, "load_recipe has refused a name that is no file"
        keys |= _flat(read_yaml(path)).keys()
    for text in wanted.overrides:
        keys |= _flat(parse_override(text)).keys()
    return [key for key in unlike if any(key == set_key or key.startswith(f"{set_key}.") for set_key in keys)]


def _say_reuse(run: RunDir, unlike: dict[str, tuple[Any, Any]], watch: Watch) -> None:
    watch.line(f"using the finished run {run.path} (same split)")
    for key, (now, then) in unlike.items():
        watch.line(f"  its {key} was {then!r}; the recipe now says {now!r}")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def open_dataset(run: RunDir, recipe: Recipe, catalogue: Catalogue) -> Dataset:
    """The data of a run as they are now; UserError when they are no longer what it was trained on."""
    dataset = load_dataset(recipe.data, catalogue)
    if not same_split(dataset.split, run.split()):
        now, then = dataset.split.fingerprint[:12], run.split().fingerprint[:12]
        raise UserError(
            f"the data or the split of {run.path} have changed since it was trained (fingerprint {now}, then {then})",
            "restore the data, or train again",
        )
    return dataset


def score_run(run: RunDir, set_name: SetName, catalogue: Catalogue, watch: Watch, again: bool = False) -> None:
    """Score a finished run on one set, unless the scores of exactly these weights by these metrics are there.

    `again`: score it in any case. UserError when the run is not finished, or its data or base weights have changed.
    """
    record = run.record()
    if record.get("status") != "finished":
        reason = record.get("reason", "it did not end")
        raise UserError(f"{run.path} is {record.get('status')}, not finished: {reason}", "train it again")
    weights = file_sha256(run.weights())
    recipe = open_recipe(run, catalogue)
    dataset = open_dataset(run, recipe, catalogue)
    if not again and _is_scored(run, set_name, weights, recipe, catalogue):
        return
    check_base(run, recipe, catalogue)
    from vesselbench.data.cache import open_cache
    from vesselbench.evaluation.evaluate import evaluate
    from vesselbench.evaluation.predict import load_predictor

    evaluate(
        load_predictor(run, catalogue),
        dataset.of(set_name),
        recipe.evaluation,
        catalogue,
        set_name=set_name,
        fingerprint=dataset.split.fingerprint,
        threshold=record["threshold"],
        weights_sha256=weights,
        run=run,
        progress=partial(watch.progress, f"score {recipe.name} {set_name}"),
        cache=open_cache(recipe.data),
    )


def check_base(run: RunDir, recipe: Recipe, catalogue: Catalogue) -> None:
    """UserError when a file of the base weights is no longer the one that the run was trained on.

    A checkpoint holds the trained parameters only: on another base they are another model, without any sign of it.
    """
    plugin, config = model_settings(recipe, catalogue)
    then: dict[str, str] = run.record().get("base_weights", {})
    now = plugin.base_weights(config) if hasattr(plugin, "base_weights") else {}
    for path in sorted({*then, *now}):
        if then.get(path) != now.get(path):
            raise UserError(
                f"{path} is not the base that {run.path} was trained on: "
                f"SHA-256 now {now.get(path, 'none')}, then {then.get(path, 'none')}",
                "restore that file, or train again",
            )


def _is_scored(run: RunDir, set_name: SetName, weights: str, recipe: Recipe, catalogue: Catalogue) -> bool:
    if not (run.evaluation(set_name) / "summary.json").is_file():
        return False
    scores = run.scores(set_name)
    versions = {metric.name: metric.version for metric in metrics_of(recipe.evaluation, catalogue)}
    options = read_json(run.evaluation(set_name) / "summary.json").get("options")
    return (
        scores.weights_sha256 == weights
        and dict(scores.metric_versions) == versions
        and options == recipe.evaluation.options.model_dump(mode="json")
    )
