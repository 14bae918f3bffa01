"""The command ``vesselbench curve``: scores against the size of the training set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vesselbench.commands.shared import RUNS, AsJson, Files, Nproc, Runs, emit, session

Names = Annotated[list[str], typer.Argument(metavar="NAME... [KEY=VALUE]...", help="Recipes; the large model first.")]
Fractions = Annotated[
    str, typer.Option("--fractions", metavar="SHARE...", help="Shares of the training groups: 0.1 0.25 0.5 1.0")
]


def curve(
    names: Names,
    fractions: Fractions = "0.1,0.25,0.5,1.0",
    config: Files = None,
    runs: Runs = RUNS,
    nproc: Nproc = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="Average each model over seeds, such as 0,1,2.")] = None,
    no_train: Annotated[bool, typer.Option("--no-train", help="Refuse to train what has no run yet.")] = False,
    as_json: AsJson = False,
) -> None:
    """From how many training groups on is the first model better: train on nested subsets, score one test set."""
    from vesselbench.comparing.learning import budget_lines
    from vesselbench.contest import Settings, parse_seeds
    from vesselbench.curve import draw_curve, parse_fractions
    from vesselbench.report.learning import answers
    from vesselbench.rundir import read_json
    from vesselbench.runs import Wanted

    overrides, recipes, more = sorted_words(names)
    shares = parse_fractions([*fractions.replace(",", " ").split(), *more])
    with session() as (catalogue, watch):
        settings = Settings(runs, nproc, not no_train, seeds=parse_seeds(seeds))
        drawn, page = draw_curve(recipes, shares, Wanted(config or [], overrides), settings, catalogue, watch)
    if as_json:
        return emit({**read_json(page.parent / "curve.json"), "report": str(page)})
    typer.echo("\n".join([*answers(drawn), *budget_lines(drawn), f"report: {page}"]))
    return None


def sorted_words(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    """KEY=VALUE, names, and the shares that follow the first one of --fractions (an option takes one word)."""
    overrides = [word for word in words if "=" in word and not Path(word).exists()]
    shares = [word for word in words if word.replace(".", "", 1).isdigit()]
    return overrides, [word for word in words if word not in overrides and word not in shares], shares
