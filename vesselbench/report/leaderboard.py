"""One page over many runs: a table for each set of runs that may be compared, and what was left out and why."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesselbench.compare import compare
from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.contender import Contender, mean_of
from vesselbench.comparing.pairing import Pair
from vesselbench.comparing.scored import ScoredRun, read_scored
from vesselbench.comparing.verdict import verdict
from vesselbench.declared import counted
from vesselbench.errors import UserError
from vesselbench.report import words
from vesselbench.report.drawings.costs import draw_cost_quality
from vesselbench.report.drawings.drawn import Drawn
from vesselbench.report.drawings.scores import draw_scores
from vesselbench.report.folder import new_folder
from vesselbench.report.page import templates
from vesselbench.report.pseudonyms import shown_comparison
from vesselbench.report.record import comparison_record
from vesselbench.report.record_tables import leaks_of
from vesselbench.report.score_tables import ARROWS, headline
from vesselbench.report.svg import standalone
from vesselbench.report.tables import Cell, Table
from vesselbench.rundir import RunDir, write_json, write_text
from vesselbench.types import SetName

SHOWN = 5
"""Metrics of whole images in a table beside the primary one: the declared family first."""


@dataclass(frozen=True)
class LeftOut:
    """A run that stands in no table, and why."""

    run: str
    reason: str


@dataclass(frozen=True)
class Board:
    """Comparisons of runs that may be compared, the largest first, and the rest."""

    comparisons: tuple[Comparison, ...]
    left_out: tuple[LeftOut, ...]


def make_board(runs: Sequence[RunDir], set_name: SetName = "test") -> Board:
    """Sort runs into comparisons: runs share one when data, split, metrics, options and plan are alike.

    A run that has not finished, has no scores of the set, or is damaged is left out with its reason; none is skipped.
    """
    alike: dict[str, list[RunDir]] = {}
    left_out = []
    for run in runs:
        try:
            alike.setdefault(_key(read_scored(run, set_name)), []).append(run)
        except UserError as error:
            left_out.append(LeftOut(_where(run), error.message))
    comparisons = []
    for members in alike.values():
        try:
            comparisons.append(compare(members, set_name))
        except UserError as error:
            left_out += [LeftOut(_where(run), error.message) for run in members]
    comparisons.sort(key=lambda comparison: (-len(comparison.runs), comparison.runs[0].label))
    return Board(tuple(comparisons), tuple(left_out))


def _key(run: ScoredRun) -> str:
    """What runs must share to stand in one table (`likeness.refuse_unlike` has the last word)."""
    declared = run.declared
    shared = {
        "fingerprint": run.split.fingerprint,
        "sets": {name: sorted(ids) for name, ids in run.split.sets.items()},
        "versions": dict(run.scores.metric_versions),
        "options": run.summary.get("options"),
        "primary": run.primary,
        "plan": None if declared is None else [declared.primary, declared.margin, declared.family, declared.unit],
    }
    return json.dumps(shared, sort_keys=True, default=str)


def _where(run: RunDir) -> str:
    return "/".join(run.path.parts[-2:])


def hidden(board: Board) -> Board:
    """The same under pseudonyms (see `pseudonyms.pseudonymise`); other ones in every table."""
    return Board(tuple(shown_comparison(comparison, True) for comparison in board.comparisons), board.left_out)


def board_table(comparison: Comparison) -> Table:
    """A row per contender, best first: its place, scores, cost, folders, and how it stands to the next one."""
    ranked = comparison.ranked()
    whole = headline(comparison)
    metrics = sorted(whole, key=lambda metric: (metric != comparison.primary, metric not in comparison.family))
    metrics = metrics[: SHOWN + 1]
    rows = []
    for place, run in enumerate(ranked, 1):
        following = ranked[place] if place < len(ranked) else None
        seeds = "" if len(run.seeds) == 1 else f", {len(run.seeds)} seeds"
        means = [mean_of(run.values(metric)) for metric in metrics]
        cells = [
            Cell(words.or_absent(mean, words.score), "", metric == comparison.primary, mean)
            for metric, mean in zip(metrics, means, strict=True)
        ]
        seconds, size = run.costs.train_seconds, run.costs.parameters_total
        rows.append(
            (
                Cell(f"{place}", sort=place),
                Cell(run.label, f"{', '.join(seed.where for seed in run.seeds)}{seeds}", place == 1),
                *cells,
                Cell("" if following is None else _against(comparison, run, following)),
                Cell(words.amount(size), sort=size),
                Cell(words.or_absent(seconds, words.duration), run.costs.device, sort=seconds),
            )
        )
    heads = [f"{metric} {ARROWS[comparison.directions[metric]]}" for metric in metrics]
    return Table(("place", "run", *heads, "against the next", "parameters", "training time"), tuple(rows))


def _against(comparison: Comparison, run: Contender, following: Contender) -> str:
    """The judgement between two neighbours, with the interval."""
    pair: Pair = next(pair for pair in comparison.pairs if {pair.a, pair.b} == {run.label, following.label})
    paired, sign = pair.metrics[comparison.primary], 1 if pair.a == run.label else -1
    turned = {"better": "worse", "worse": "better"} if sign < 0 else {}
    said = turned.get(str(paired.judgement), str(paired.judgement))
    low, high, difference = paired.interval.low, paired.interval.high, paired.difference
    if difference is None or low is None or high is None:
        return f"{said}: {paired.interval.reason}"
    ends = sorted((sign * low, sign * high))
    return f"{said}: {words.change(sign * difference)} [{words.change(ends[0])}, {words.change(ends[1])}]"


def render_board(board: Board, folder: Path) -> Path:
    """Write leaderboard.html, leaderboard.md, leaderboard.json and plots into the new `folder`; returns the page."""
    entries = [_entry(number, comparison) for number, comparison in enumerate(board.comparisons, 1)]
    view = {
        "title": "Leaderboard",
        "entries": entries,
        "caption": "Best first; scores are means over images; against the next: the verdict between neighbours",
        "left_out_caption": "Runs that stand in no table",
        "left_out": Table(("run", "why"), tuple((Cell(one.run), Cell(one.reason)) for one in board.left_out)),
        "runs": sum(len(c.seeds) for comparison in board.comparisons for c in comparison.runs),
        "made": time.strftime("%Y-%m-%d %H:%M"),
    }
    record = {
        "tables": [comparison_record(comparison) for comparison in board.comparisons],
        "left_out": [{"run": one.run, "reason": one.reason} for one in board.left_out],
    }
    with new_folder(folder) as draft:
        for entry in entries:
            for plot in entry["plots"]:
                write_text(draft / "panels" / f"plot-{entry['number']}-{plot.name}.svg", standalone(plot.svg))
        write_json(draft / "leaderboard.json", record)
        engine = templates()
        write_text(draft / "leaderboard.md", engine.get_template("leaderboard.md.j2").render(view))
        write_text(draft / "leaderboard.html", engine.get_template("leaderboard.html").render(view))
    return folder / "leaderboard.html"


def _entry(number: int, comparison: Comparison) -> dict[str, Any]:
    first = comparison.runs[0]
    data = first.config.get("data") or {}
    groups = counted(len(set(comparison.groups)), comparison.unit)
    train = len(first.split.sets["train"])  # the tables of a learning curve differ in nothing else
    drawn: list[Drawn | None] = [draw_scores(comparison), *draw_cost_quality(comparison)]
    return {
        "number": number,
        "title": f"{data.get('format', 'data')}: {len(comparison.images)} {comparison.set_name} images of {groups}, "
        f"{train} to train on",
        "data": f"{data.get('root') or 'drawn data'}; split {first.split.name}, {first.split.fingerprint[:12]}",
        "leaks": leaks_of(comparison),
        "verdict": verdict(comparison),
        "table": board_table(comparison),
        "plots": [plot for plot in drawn if plot is not None],
        "notes": comparison.notes,
    }
