"""Everything that the page of a comparison prints, as values: the HTML and the Markdown template draw the same ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.contender import Contender, mean_of
from vesselbench.comparing.verdict import leading_pair, verdict
from vesselbench.declared import counted
from vesselbench.report import overlay, score_tables, tables, words
from vesselbench.report.captions import captions_of
from vesselbench.report.choice import Choices
from vesselbench.report.drawings.calibration import draw_calibration
from vesselbench.report.drawings.costs import draw_cost_quality, draw_time_to_quality
from vesselbench.report.drawings.drawn import Drawn
from vesselbench.report.drawings.ladder import draw_ladder
from vesselbench.report.drawings.scores import draw_against, draw_differences, draw_scores
from vesselbench.report.drawings.widths import bins_of, draw_widths
from vesselbench.report.methods import methods_of
from vesselbench.report.panels import Panel
from vesselbench.report.record_tables import command_lines, hash_table, leaks_of
from vesselbench.report.svg import colour

NO_LEAKS = (
    "Leaks: none found. No group stands in two sets, and no image has an equal or nearly equal one in another set."
)


def plots_of(comparison: Comparison) -> dict[str, list[Drawn]]:
    """Every plot by the section it stands in; one without data is left out."""
    pair, ladder = leading_pair(comparison), comparison.ladder
    compared = [] if pair is None else [draw_differences(comparison, pair), draw_against(comparison, pair)]
    return {
        "images": _drawn([draw_scores(comparison), *compared]),
        "widths": draw_widths(comparison),
        "calibration": _drawn([draw_calibration(comparison)]),
        "ladder": _drawn([None if ladder is None else draw_ladder(comparison, ladder)]),
        "costs": _drawn([draw_time_to_quality(comparison), *draw_cost_quality(comparison)]),
    }


def _drawn(plots: Sequence[Drawn | None]) -> list[Drawn]:
    return [plot for plot in plots if plot is not None]


def view_of(
    comparison: Comparison, panels: list[Panel], choices: Choices, plots: dict[str, list[Drawn]], pseudonymised: bool
) -> dict[str, Any]:
    """What the two templates print; keys are their names."""
    unlike, shared = tables.setting_tables(comparison)
    leaks = leaks_of(comparison)
    groups = counted(len(set(comparison.groups)), comparison.unit)
    return {
        "title": title_of(comparison),
        "comparison": comparison,
        "verdict": verdict(comparison),
        "heroes": _heroes(comparison, groups),
        "leaks": leaks,
        "leak_line": "The split leaks: see the top of this page." if leaks else NO_LEAKS,
        "captions": captions_of(comparison),
        **_score_view(comparison),
        "costs": tables.cost_table(comparison),
        "parts": tables.part_table(comparison),
        "origins": tables.origin_table(comparison),
        "scorings": None if comparison.scorings is None else tables.scoring_table(comparison.scorings),
        "split": tables.split_table(comparison),
        "unlike_settings": unlike,
        "shared_settings": shared,
        "versions": tables.version_table(comparison),
        "hashes": hash_table(comparison),
        "commands": command_lines(comparison),
        "panels": panels,
        "plots": plots,
        "unranked": choices.unranked,
        "shown": len(panels),
        "methods": methods_of(comparison, pseudonymised),
        "groups": groups,
        "colours": colours(),
        "made": time.strftime("%Y-%m-%d %H:%M"),
    }


def title_of(comparison: Comparison) -> str:
    """What is compared, in a line."""
    labels = [run.label for run in comparison.runs]
    return (" against " if len(labels) == 2 else ", ").join(labels)


def _score_view(comparison: Comparison) -> dict[str, Any]:
    metrics, families, ladder = score_tables.headline(comparison), bins_of(comparison), comparison.ladder
    judged = [comparison.primary, *(metric for metric in metrics if metric in comparison.family)]
    others = [metric for metric in metrics if metric not in judged]
    differences = [
        (
            pair,
            score_tables.judgement_table(pair, judged),
            score_tables.judgement_table(pair, others) if others else None,
        )
        for pair in comparison.pairs
    ]
    return {
        "scores": score_tables.metric_table(comparison, metrics),
        "differences": differences,
        "ranks": score_tables.rank_table(comparison),
        "seeds": score_tables.seed_table(comparison),
        "ladder": None if ladder is None else score_tables.ladder_table(comparison, ladder, judged[:6]),
        "images": score_tables.image_table(comparison),
        "widths": score_tables.width_table(comparison, families) if families else None,
        "cases": tables.case_table(comparison),
    }


def colours() -> dict[str, str]:
    """The colours of the pictures, for their legend."""
    named = (("hit", overlay.HIT), ("false", overlay.FALSE), ("missed", overlay.MISSED), ("field", overlay.FIELD))
    return {name: "#{:02x}{:02x}{:02x}".format(*value) for name, value in named}


def _heroes(comparison: Comparison, groups: str) -> list[dict[str, Any]]:
    """The few numbers of each run that stand above everything else."""
    return [
        {
            "label": run.label,
            "value": words.or_absent(mean_of(run.values(comparison.primary)), words.score),
            "notes": [f"mean {comparison.primary}, {len(comparison.images)} images of {groups}", _price(run)],
            "kind": colour(place),
        }
        for place, run in enumerate(comparison.runs)
    ]


def _price(run: Contender) -> str:
    seeds = "" if len(run.seeds) == 1 else f"{len(run.seeds)} seeds · "
    time = words.or_absent(run.costs.train_seconds, words.duration)
    return f"{seeds}{words.amount(run.costs.parameters_total)} parameters · trained in {time}"
