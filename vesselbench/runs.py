"""Getting the runs that a command names: opened, found on the same split, or trained now; and scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vesselbench.config import CONVENTIONS, EvalConfig, Recipe
from vesselbench.data.dataset import load_dataset
from vesselbench.errors import UserError
from vesselbench.evaluation.score import metrics_of
from vesselbench.ledger import Scoring, enter
from vesselbench.plugins import Catalogue, nearest
from vesselbench.recipes import find_config, load_recipe, parse_override, read_yaml
from vesselbench.reopen import check_base, differences, flatten, open_dataset, open_recipe, same_split
from vesselbench.rundir import RunDir, file_sha256, read_json, runs_of, write_json
from vesselbench.types import SetName
from vesselbench.watch import Watch

Train = Callable[[Recipe], RunDir]


@dataclass(frozen=True)
class Wanted:
    """What the command line said about recipes: extra files and overrides, applied to every name."""

    files: Sequence[str] = ()
    overrides: Sequence[str] = ()


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
    seed = f", seed {recipe.train.seed}" if any(text.startswith("train.seed=") for text in wanted.overrides) else ""
    watch.line(f"{name}{seed}: no finished run on this split; training it now")
    return train(recipe)


def asked_for(unlike: dict[str, tuple[Any, Any]], wanted: Wanted) -> list[str]:
    """Those of the differing keys that the command line set."""
    keys: set[str] = set()
    for name in wanted.files:
        path = find_config(name)
        assert path is not None, "load_recipe has refused a name that is no file"
        keys |= flatten(read_yaml(path)).keys()
    for text in wanted.overrides:
        keys |= flatten(parse_override(text)).keys()
    return [key for key in unlike if any(key == set_key or key.startswith(f"{set_key}.") for set_key in keys)]


def _say_reuse(run: RunDir, unlike: dict[str, tuple[Any, Any]], watch: Watch) -> None:
    watch.line(f"using the finished run {run.path} (same split)")
    for key, (now, then) in unlike.items():
        watch.line(f"  its {key} was {then!r}; the recipe now says {now!r}")


def score_run(
    run: RunDir,
    set_name: SetName,
    catalogue: Catalogue,
    watch: Watch,
    again: bool = False,
    conventions: Sequence[str] = (),
) -> None:
    """Score a finished run on one set; of what is stored there, what still holds is used again, and that is said.

    `again`: predict and score it in any case. `conventions` are scored beside the recipe's.
    UserError when the run is not finished, or its data or base weights have changed.
    """
    record = run.record()
    if record.get("status") != "finished":
        reason = record.get("reason", "it did not end")
        raise UserError(f"{run.path} is {record.get('status')}, not finished: {reason}", "train it again")
    from vesselbench.evaluation.basis import basis_of_run
    from vesselbench.evaluation.reuse import Reuse, look

    weights, threshold = file_sha256(run.weights()), record["threshold"]
    recipe = open_recipe(run, catalogue)
    config = with_conventions(recipe.evaluation, conventions)
    dataset = open_dataset(run, recipe, catalogue)
    samples = dataset.of(set_name)
    basis = basis_of_run(run, recipe, samples, catalogue, weights, dataset.split.fingerprint)
    found = Reuse("predicting again: that was asked for")
    if not again:
        found = look(run, set_name, basis, threshold, config, metrics_of(config, catalogue))
    if found.said:
        watch.line(f"{run.path}: {found.said}")
    if found.complete:
        return
    from vesselbench.data.cache import open_cache
    from vesselbench.evaluation.evaluate import evaluate
    from vesselbench.evaluation.predict import Predict, load_predictor
    from vesselbench.evaluation.reuse import Stored

    def load() -> Predict:
        check_base(run, recipe, catalogue)
        return load_predictor(run, catalogue)

    predict = load() if found.earlier is None else Stored(run, set_name, found.earlier, threshold, load)
    if set_name == "test":  # a model that is refused has scored nothing
        enter_scoring(run, recipe, dataset.test_set, weights, watch)
    evaluate(
        predict,
        samples,
        config,
        catalogue,
        set_name=set_name,
        fingerprint=dataset.split.fingerprint,
        threshold=threshold,
        weights_sha256=weights,
        basis=basis,
        earlier=found.earlier,
        run=run,
        progress=partial(watch.progress, f"score {recipe.name} {set_name}"),
        cache=open_cache(recipe.data),
    )


def with_conventions(config: EvalConfig, names: Sequence[str]) -> EvalConfig:
    """The same with more conventions; UserError for an unknown one."""
    for name in names:
        if name not in CONVENTIONS:
            raise UserError(f"no convention named {name!r}", nearest(name, list(CONVENTIONS)))
    return config.model_copy(update={"conventions": list(dict.fromkeys([*config.conventions, *names]))})


def enter_scoring(run: RunDir, recipe: Recipe, test_set: str, weights: str, watch: Watch) -> None:
    """Enter a scoring of the test set into its ledger, before it begins, and note in the run which line it is.

    One that was broken off and is taken up again (entered, but not complete) does not count twice.
    """
    noted, summary = run.ledger_file("test"), run.evaluation("test") / "summary.json"
    if noted.is_file() and (not summary.is_file() or run.unfinished_files("test")):
        held = read_json(noted)
        if isinstance(held, dict) and (held.get("weights_sha256"), held.get("test_set")) == (weights, test_set):
            return
    where = "/".join(run.path.resolve().parts[-2:])
    model, primary = str(recipe.model["name"]), recipe.evaluation.primary
    entry, before = enter(test_set, Scoring(recipe.name, model, where, recipe.train.seed, weights, primary))
    for fault in before.faults:
        watch.line(f"the ledger of the test set is broken: {fault} ({before.path})")
    facts = {"test_set": test_set, "number": entry.number, "sha256": entry.sha256, "weights_sha256": weights}
    write_json(noted, {**facts, "ledger": str(before.path.parent.resolve())})
    others = {one.scoring.weights_sha256 for one in before.entries}
    watch.line(f"scoring {entry.number} of this test set; {len(others)} different weights before ({before.path})")
