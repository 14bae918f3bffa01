"""The command ``vesselbench bench``: what recipes cost on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesselbench.commands.shared import RUNS, AsJson, Files, Runs, emit, recipe_of, session
from vesselbench.errors import UserError

Names = Annotated[list[str], typer.Argument(metavar="NAME... [KEY=VALUE]...", help="Recipes.")]
Rounds = Annotated[int, typer.Option("--rounds", min=5, help="Iterations that are timed, of each entry.")]
Warmup = Annotated[int, typer.Option("--warmup", min=1, help="Iterations before, which do not count.")]


def bench(
    names: Names,
    config: Files = None,
    runs: Runs = RUNS,
    rounds: Rounds = 15,
    warmup: Warmup = 3,
    as_json: AsJson = False,
) -> None:
    """Measure what recipes cost here: seconds per optimizer step and per prediction, memory, FLOP, utilisation.

    Each is measured in a process of its own, on this machine and on the recipe's data. The results are kept below the
    runs folder, where `vesselbench compare` finds them.
    """
    from vesselbench.benchmarking.apart import measure_recipe
    from vesselbench.terminal.benchmarks import benchmark_table

    overrides = [word for word in names if "=" in word and not Path(word).exists()]
    chosen = [word for word in names if word not in overrides]
    if not chosen:
        raise UserError("no recipe is named", "vesselbench bench sa2va unet")
    with session() as (catalogue, watch):
        recipes = [recipe_of(name, config, overrides, catalogue, watch) for name in chosen]
        found = [measure_recipe(recipe, catalogue, runs, rounds, warmup, watch) for recipe in recipes]
    if as_json:
        return emit([{**benchmark.as_json(), "file": str(path)} for benchmark, path in found])
    emit(benchmark_table([benchmark for benchmark, _ in found]))
    return None
