"""A comparison from names to report: obtain the runs, score them on the test set, compare, render."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vesselbench.compare import Comparison, check_margin
from vesselbench.config import Recipe
from vesselbench.data.dataset import load_dataset
from vesselbench.declared import declare
from vesselbench.errors import UserError
from vesselbench.ladder import Ladder, ladder_record, read_ladder
from vesselbench.launch import processes_wanted, rehearse_launched, train_apart, train_launched
from vesselbench.plugins import Catalogue
from vesselbench.recipes import load_recipe, stand_ins
from vesselbench.reopen import differences, open_dataset, open_recipe
from vesselbench.rundir import RunDir, fresh_path, ladder_file, read_json, write_json
from vesselbench.runs import Wanted, obtain_run, score_run
from vesselbench.types import SetName
from vesselbench.watch import Watch


@dataclass(frozen=True)
class Settings:
    """How a comparison is made, beside its recipes."""

    runs: Path
    nproc: int | None = None
    may_train: bool = True
    pseudonymise: bool = False
    seeds: tuple[int, ...] = ()
    """Each recipe is compared as the mean over these seeds; none: as it is."""
    margin: float | None = None
    """Margin of equivalence instead of the declared one: after the fact, and said to be."""


def train_recipe(
    recipe: Recipe, catalogue: Catalogue, runs: Path, nproc: int | None, watch: Watch, resumed: RunDir | None = None
) -> RunDir | None:
    """Train in this process, or in several started from it; None on ranks other than 0.

    With `resumed` the training of that run goes on.
    """
    processes = processes_wanted(nproc, recipe.train.device)
    if processes > 1:
        return train_launched(recipe, runs, processes, resumed)
    from vesselbench.training.loop import train

    return train(recipe, catalogue, runs, watch, resumed)


def rehearse_recipe(
    recipe: Recipe,
    catalogue: Catalogue,
    runs: Path,
    nproc: int | None,
    watch: Watch,
    resumed: RunDir | None,
    keep: bool,
) -> None:
    """A dry run (see `rehearsal.rehearse`), in this process or in several started from it."""
    if resumed is not None:
        raise UserError("a dry run begins anew", "leave out --resume or --dry-run")
    processes = processes_wanted(nproc, recipe.train.device)
    if processes > 1:
        return rehearse_launched(recipe, runs, processes, keep)
    from vesselbench.training.rehearsal import rehearse

    return rehearse(recipe, catalogue, runs, watch, keep)


def hold_contest(
    names: Sequence[str], wanted: Wanted, settings: Settings, catalogue: Catalogue, watch: Watch
) -> tuple[Comparison, Path]:
    """Compare what the names stand for on their common test set; returns the comparison and its HTML report."""
    if len(names) < 2:
        raise UserError("a comparison needs two names at least", "vesselbench compare sa2va unet")
    check_margin(settings.margin)
    _refuse_what_has_no_effect(names, wanted, settings.seeds)
    for name in names:
        _say_stand_ins(name, wanted, catalogue, watch)
    _say_too_few(names, wanted, catalogue, watch)
    train = partial(train_apart, runs=settings.runs, nproc=settings.nproc) if settings.may_train else None
    from vesselbench.comparing.likeness import refuse_unlike_trainings
    from vesselbench.foresight import foresee

    found: list[RunDir] = []
    for name in names:
        seeds = [
            obtain_run(name, one, settings.runs, catalogue, train, watch) for one in each_seed(wanted, settings.seeds)
        ]
        refuse_unlike_seeds(name, seeds, catalogue)
        found.extend(seeds)
    refuse_unlike_trainings(found)
    for line in foresee(found):
        watch.line(line)
    for run in found:
        score_run(run, "test", catalogue, watch)
    return report_runs(found, settings, catalogue, watch)


def each_seed(wanted: Wanted, seeds: Sequence[int]) -> list[Wanted]:
    """What is wanted, once for every seed; as it is without seeds."""
    return [replace(wanted, overrides=(*wanted.overrides, f"train.seed={seed}")) for seed in seeds] or [wanted]


def refuse_unlike_seeds(name: str, runs: Sequence[RunDir], catalogue: Catalogue) -> None:
    """UserError when runs that were found for the seeds of one recipe differ in more than the seed."""
    first = open_recipe(runs[0], catalogue)
    for run in runs[1:]:
        unlike = [key for key in differences(first, open_recipe(run, catalogue)) if key != "train.seed"]
        if unlike:
            raise UserError(
                f"{runs[0].path} and {run.path}, two seeds of {name!r}, differ in {', '.join(unlike)}",
                f"give {unlike[0]}=... so that only runs with that value count, or another --runs folder",
            )


def parse_seeds(text: str | None) -> tuple[int, ...]:
    """ "0,1,2" as numbers; nothing gives none. UserError for what is no list of different whole numbers from 0 on."""
    if text is None:
        return ()
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() for word in words) or len(set(map(int, words))) < len(words):
        raise UserError(f"--seeds {text!r} is no list of different whole numbers", "for example --seeds 0,1,2")
    return tuple(map(int, words))


def _refuse_what_has_no_effect(names: Sequence[str], wanted: Wanted, seeds: Sequence[int]) -> None:
    folders = [name for name in names if (Path(name) / "run.json").is_file()]
    if folders and seeds:
        raise UserError(
            f"{folders[0]} is a finished run: --seeds cannot change its seed",
            "name recipes, or the run folders of all seeds: those that differ in their seed only are averaged",
        )
    if seeds and any(text.partition("=")[0] == "train.seed" for text in wanted.overrides):
        raise UserError("train.seed= and --seeds both set the seed", "leave one of them out")
    if folders and (wanted.files or wanted.overrides):
        raise UserError(
            f"{folders[0]} is a finished run: overrides and -c files cannot change it",
            "leave them out, or name recipes instead of run folders",
        )
    if any(text.partition("=")[0] == "name" for text in wanted.overrides):
        raise UserError("name= would give every compared recipe the same name", "leave it out")


def _say_stand_ins(name: str, wanted: Wanted, catalogue: Catalogue, watch: Watch) -> None:
    if not (Path(name) / "run.json").is_file():
        for text in stand_ins(load_recipe(name, catalogue, wanted.files, wanted.overrides)[0]):
            watch.line(f"{name}: {text}")


def _say_too_few(names: Sequence[str], wanted: Wanted, catalogue: Catalogue, watch: Watch) -> None:
    """Said before anything is trained: a test set of few groups decides nothing, however long the trainings are."""
    recipes = [name for name in names if not (Path(name) / "run.json").is_file()]
    if not recipes:
        return
    from vesselbench.foresight import foresee_too_few

    recipe, _ = load_recipe(recipes[0], catalogue, wanted.files, wanted.overrides)
    dataset = load_dataset(recipe.data, catalogue)
    groups = {sample.group or sample.id for sample in dataset.of("test")}
    if said := foresee_too_few(len(groups), declare(recipe, dataset.samples).unit, len(names)):
        watch.line(said)


def report_runs(
    found: Sequence[RunDir], settings: Settings, catalogue: Catalogue, watch: Watch
) -> tuple[Comparison, Path]:
    """Compare scored runs and write the report into a new folder below ``<runs>/comparison``."""
    from vesselbench.benchmarking.kept import kept
    from vesselbench.compare import compare, with_benchmarks, with_ladder
    from vesselbench.report import render_comparison

    comparison = compare(found, margin=settings.margin)
    ladder = obtain_ladder(found[0], comparison.set_name, settings.runs, catalogue, watch)
    comparison = with_benchmarks(with_ladder(comparison, ladder), kept(settings.runs, watch.line))
    folder = fresh_path(settings.runs, "comparison")
    return comparison, render_comparison(comparison, folder, catalogue, pseudonymised=settings.pseudonymise)


def obtain_ladder(run: RunDir, set_name: SetName, runs: Path, catalogue: Catalogue, watch: Watch) -> Ladder:
    """The ladder of a run's set: the one kept below `runs`, else measured now and kept there.

    A kept one that is damaged is named and measured again. Raises UserError when the data are no longer the run's.
    """
    from vesselbench.data.cache import open_cache
    from vesselbench.evaluation.ladder import ladder_key, measure_ladder

    recipe, split = open_recipe(run, catalogue), run.split()
    key = ladder_key(split.fingerprint, split.sets[set_name], split.sets["val"], recipe.evaluation, catalogue)
    path = ladder_file(runs, key)
    if path.is_file():
        try:
            return read_ladder(read_json(path), path)
        except UserError as error:
            watch.line(f"{error.message}; it is measured again")
    dataset = open_dataset(run, recipe, catalogue)
    watch.line(f"measuring the ladder of {len(dataset.of(set_name))} {set_name} images; it is kept in {path}")
    ladder = measure_ladder(
        dataset.of(set_name),
        dataset.of("val"),
        recipe.evaluation,
        catalogue,
        cache=open_cache(recipe.data),
        progress=partial(watch.progress, "ladder"),
    )
    write_json(path, ladder_record(ladder))
    return ladder
