"""A learning curve from names to page: train what is missing on nested subsets, score, compare at every size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from vesselbench.compare import compare
from vesselbench.comparing.learning import Curve, Size
from vesselbench.comparing.likeness import refuse_unlike_trainings
from vesselbench.contest import Settings, each_seed, refuse_unlike_seeds
from vesselbench.data.dataset import load_dataset
from vesselbench.errors import UserError
from vesselbench.launch import train_apart
from vesselbench.plugins import Catalogue
from vesselbench.recipes import load_recipe
from vesselbench.report.learning import render_curve
from vesselbench.rundir import RunDir, fresh_path
from vesselbench.runs import Wanted, obtain_run, score_run
from vesselbench.watch import Watch


def parse_fractions(words: Sequence[str]) -> tuple[float, ...]:
    """Shares of the training groups, ascending. UserError for what is no share in (0, 1], doubled, or a single one."""
    found = []
    for word in words:
        try:
            value = float(word)
        except ValueError:
            value = -1.0
        if not 0 < value <= 1:
            raise UserError(f"--fractions: {word!r} is no share above 0 and up to 1", "--fractions 0.1 0.25 0.5 1.0")
        found.append(value)
    if len(set(found)) < len(found) or len(found) < 2:
        raise UserError("a curve needs two different fractions at least", "--fractions 0.1 0.25 0.5 1.0")
    return tuple(sorted(found))


def draw_curve(
    names: Sequence[str],
    fractions: Sequence[float],
    wanted: Wanted,
    settings: Settings,
    catalogue: Catalogue,
    watch: Watch,
) -> tuple[Curve, Path]:
    """Train and score every recipe on every share of the training groups; returns the curve and its page.

    With seeds a model is their mean at every size. A finished run of a recipe on the same subset is used again. Shares
    that keep the same groups are one size, and that is said. Raises UserError for fewer than two names, for a run
    folder, for an override of the subset, and whatever a comparison refuses.
    """
    _refuse(names, wanted, settings.seeds)
    for text in _lengths(names, wanted, catalogue):
        watch.line(text)
    chosen = _sizes(names[0], fractions, wanted, catalogue, watch)
    train = partial(train_apart, runs=settings.runs, nproc=settings.nproc) if settings.may_train else None
    trained: list[list[RunDir]] = []
    for fraction, groups, _ in chosen:
        watch.line(f"training groups: {groups} ({100 * fraction:g} % of all)")
        here = replace(wanted, overrides=(*wanted.overrides, f"data.split.subset={fraction:g}"))
        runs = []
        for name in names:
            seeds = [
                obtain_run(name, o, settings.runs, catalogue, train, watch) for o in each_seed(here, settings.seeds)
            ]
            refuse_unlike_seeds(name, seeds, catalogue)
            runs += seeds
        refuse_unlike_trainings(runs)
        trained.append(runs)
    sizes = []
    for (fraction, groups, samples), runs in zip(chosen, trained, strict=True):
        for run in runs:  # only when everything is trained: no test set is scored for a curve that breaks off
            score_run(run, "test", catalogue, watch)
        sizes.append(Size(fraction, groups, samples, compare(runs, margin=settings.margin)))
    curve = Curve(tuple(sizes), tuple(run.label for run in sizes[0].comparison.runs))
    return curve, render_curve(curve, fresh_path(settings.runs, "curve"))


def _lengths(names: Sequence[str], wanted: Wanted, catalogue: Catalogue) -> list[str]:
    """A line for every recipe whose length is left to its rules: it then differs between the sizes."""
    ruled = [
        name
        for name in names
        if "train.steps" in load_recipe(name, catalogue, wanted.files, wanted.overrides)[0].configure
    ]
    return [
        f"{name}: train.steps is left to the rules: fewer images, fewer steps; train.steps=N makes all sizes equal"
        for name in ruled
    ]


def _refuse(names: Sequence[str], wanted: Wanted, seeds: Sequence[int]) -> None:
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise UserError("a curve needs two different recipes at least", "vesselbench curve sa2va unet")
    for name in names:
        if (Path(name) / "run.json").is_file():
            raise UserError(f"{name} is a run: it has one size of training set", "name recipes")
    if seeds and any(text.partition("=")[0] == "train.seed" for text in wanted.overrides):
        raise UserError("train.seed= and --seeds both set the seed", "leave one of them out")
    for text in wanted.overrides:
        if text.partition("=")[0] in ("data.split.subset", "name"):
            raise UserError(f"{text}: the curve sets that itself", "leave it out; --fractions chooses the subsets")


def _sizes(
    name: str, fractions: Sequence[float], wanted: Wanted, catalogue: Catalogue, watch: Watch
) -> list[tuple[float, int, int]]:
    """(fraction, groups, samples) of every size of the training set, ascending."""
    found: list[tuple[float, int, int]] = []
    for fraction in fractions:
        here = (*wanted.overrides, f"data.split.subset={fraction:g}")
        recipe, _ = load_recipe(name, catalogue, wanted.files, here)
        samples = load_dataset(recipe.data, catalogue).of("train")
        groups = len({sample.group or sample.id for sample in samples})
        if found and groups == found[-1][1]:
            watch.line(f"fraction {fraction:g} keeps the same {groups} groups as {found[-1][0]:g}: it is no new size")
            continue
        found.append((fraction, groups, len(samples)))
    if len(found) < 2:
        raise UserError(f"all fractions keep the same {found[0][1]} training groups", "name fractions farther apart")
    return found
