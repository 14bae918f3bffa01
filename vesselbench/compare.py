"""Compare runs that were scored on the same images: join by id, refuse what is unlike, pair (no torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite

from vesselbench.benchmarking.kept import Benchmark, match
from vesselbench.comparing.comparison import Comparison, Scorings, Several
from vesselbench.comparing.contender import Contender, gather_seeds
from vesselbench.comparing.likeness import notes_of, refuse_unlike
from vesselbench.comparing.pairing import RESAMPLES, SEED, Pair, PairedMetric, Role, pair_all
from vesselbench.comparing.scored import ScoredRun, read_scored
from vesselbench.comparing.verdict import verdict
from vesselbench.config import EvalConfig
from vesselbench.config.evaluation import FAMILY
from vesselbench.declared import counted
from vesselbench.errors import UserError
from vesselbench.ladder import Ladder
from vesselbench.ledger import missing, read_ledger
from vesselbench.rundir import RunDir
from vesselbench.statistics.paired import LEVEL, TIE, least_p
from vesselbench.statistics.several import bootstrap_ranks, friedman
from vesselbench.types import SetName

__all__ = ["Comparison", "compare", "verdict", "with_benchmarks", "with_ladder"]

BY_WIDTH = "_by_width"
"""How the names of metrics end whose bins have values of their own, such as ``cldice@2-3px``."""


def compare(runs: Sequence[RunDir], set_name: SetName = "test", margin: float | None = None) -> Comparison:
    """Compare finished runs on one set. One contender gives a Comparison without pairs.

    Runs that differ in their seed only are one contender (see `gather_seeds`). `margin`: the difference of the
    primary metric, in its own unit, up to which contenders count as equivalent; default: the one that the runs
    declared. Another one is used, and a note says that it was given after the fact.
    Raises UserError, naming the runs and what differs, for unlike data, splits, images, metrics or plans, for a run
    given twice, for one that has not finished or whose scores do not cover the set.
    """
    if not runs:
        raise UserError("no runs to compare", "name at least two, for example: vesselbench compare sa2va unet")
    check_margin(margin)
    read = [read_scored(run, set_name) for run in runs]
    refuse_unlike(read)
    first, declared = read[0], next((run.declared for run in read if run.declared is not None), None)
    ids = tuple(row.id for row in first.scores.rows)
    groups = tuple(row.group or row.id for row in first.scores.rows)
    contenders = tuple(gather_seeds([_in_order(run, ids) for run in read]))
    family = _family(first, None if declared is None else declared.family)
    held = declared.margin if margin is None and declared is not None else margin
    held = EvalConfig().margin if held is None else held
    scorings = _scorings(read) if set_name == "test" else None
    pairs = pair_all(contenders, groups, _roles(first, family), held)
    unit = _unit(groups, ids) if declared is None else declared.unit
    return Comparison(
        set_name=set_name,
        primary=first.primary,
        margin=held,
        declared_margin=None if declared is None else declared.margin,
        family=family,
        unit=unit,
        directions=first.directions,
        runs=contenders,
        images=ids,
        groups=groups,
        pairs=pairs,
        several=_several(contenders, groups) if len(contenders) > 2 else None,
        observer2=first.observer2 if all(run.observer2 is not None for run in read) else None,
        scorings=scorings,
        notes=(
            *notes_of(contenders),
            *_notes_on_plans(read, held),
            *_notes_on_pairs(pairs, first.primary, contenders, unit),
            *(f"Ledger of the test set: {fault}." for fault in (scorings.faults if scorings else ())),
        ),
    )


def check_margin(margin: float | None) -> None:
    """UserError for a margin of equivalence, given on the command line, that is below 0 or not finite."""
    if margin is not None and not (margin >= 0 and isfinite(margin)):
        raise UserError(f"the margin of equivalence is {margin}", "give a number from 0 on, for example 0.01")


def with_ladder(comparison: Comparison, ladder: Ladder) -> Comparison:
    """The comparison with the ladder of its set, and a note on every pair whose difference is below the noise floor."""
    metric, floor = comparison.primary, ladder.noise_floor(comparison.primary)
    below = []
    for pair in comparison.pairs:
        difference = pair.metrics[metric].difference
        if floor is not None and difference is not None and abs(difference) < floor:
            below.append(
                f"{pair.a} and {pair.b} differ by {abs(difference):.3f} on {metric}: less than the {floor:.3f} that a "
                "reference shifted by one pixel loses, so the annotation itself is not certain enough to weigh it."
            )
    return replace(comparison, ladder=ladder, notes=(*comparison.notes, *below))


def with_benchmarks(comparison: Comparison, results: Sequence[Benchmark]) -> Comparison:
    """The comparison with what was benchmarked of its contenders' configurations, and a note on which results these
    are. `results`: newest first."""
    matched = match({run.label: run.config for run in comparison.runs}, results)
    if matched.machine is None:
        return comparison
    without = [run.label for run in comparison.runs if run.label not in matched.results]
    machine = f"{matched.machine.words} (fingerprint {matched.machine.fingerprint})"
    missing_there = f"; none there of {', '.join(without)}" if without else ""
    elsewhere = f"; {matched.elsewhere} of other machines are left out" if matched.elsewhere else ""
    note = (
        f"Benchmarked on {machine}: results of the same model, data and settings of a step as the runs"
        f"{missing_there}{elsewhere}."
    )
    return replace(comparison, benchmarks=matched, notes=(*comparison.notes, note))


def _in_order(run: ScoredRun, ids: Sequence[str]) -> ScoredRun:
    rows = {row.id: row for row in run.scores.rows}
    return replace(run, scores=replace(run.scores, rows=tuple(rows[sample] for sample in ids)))


def _family(run: ScoredRun, declared: Sequence[str] | None) -> tuple[str, ...]:
    """The secondary metrics by the names of their values: a metric by width has one for each bin.

    UserError for a declared one that was not scored.
    """
    if declared is None:
        declared = [name for name in FAMILY if name in run.directions and name != run.primary]
    family: list[str] = []
    for name in declared:
        bins = f"{name.removesuffix(BY_WIDTH)}@" if name.endswith(BY_WIDTH) else None
        found = [metric for metric in run.directions if metric == name or (bins and metric.startswith(bins))]
        if not found:
            raise UserError(f"{run.run.path} declared {name!r} and did not score it", "evaluate it again")
        family.extend(metric for metric in found if metric != run.primary)
    return tuple(family)


def _roles(run: ScoredRun, family: Sequence[str]) -> Mapping[str, Role]:
    roles: dict[str, Role] = {m: "secondary" if m in family else "exploratory" for m in run.directions}
    return {**roles, run.primary: "primary"}


def _unit(groups: Sequence[str], ids: Sequence[str]) -> str:
    return "image" if list(groups) == list(ids) else "group"


def _several(contenders: Sequence[Contender], groups: Sequence[str]) -> Several | None:
    """Friedman's test and the ranks over the images on which all have a value; None when there are none."""
    primary = contenders[0].primary
    rows = [contender.values(primary) for contender in contenders]
    complete = [number for number in range(len(groups)) if all(row[number] is not None for row in rows)]
    if not complete:
        return None
    values = [[value for number in complete if (value := row[number]) is not None] for row in rows]
    names = [groups[number] for number in complete]
    better = contenders[0].directions[primary]
    return Several(friedman(values, names), bootstrap_ranks(values, names, better, RESAMPLES, SEED), len(complete))


def _scorings(runs: Sequence[ScoredRun]) -> Scorings:
    """What the ledger of the test set says, and which of the runs it knows nothing of."""
    anchors = {run.where: run.anchor for run in runs if run.anchor is not None}
    unrecorded = tuple(run.where for run in runs if run.anchor is None)
    known = next(iter(anchors.values()), None)
    if known is None:
        return Scorings(None, (), (), unrecorded)
    ledger = read_ledger(str(known["test_set"]))
    return Scorings(ledger.test_set, ledger.entries, (*ledger.faults, *missing(ledger, anchors)), unrecorded)


def _notes_on_plans(runs: Sequence[ScoredRun], margin: float) -> list[str]:
    """What was decided after the fact."""
    notes = []
    if any(run.declared is None for run in runs):
        notes.append("After the fact: a run recorded no primary metric and no margin before its test set was scored.")
    declared = next((run.declared for run in runs if run.declared is not None), None)
    if declared is None:
        return notes
    if declared.primary != runs[0].primary:
        notes.append(
            f"After the fact: {declared.primary} was declared as the primary metric, {runs[0].primary} is compared."
        )
    if declared.margin != margin:
        notes.append(
            f"After the fact: the margin of equivalence {margin:g} was given after the runs had declared "
            f"{declared.margin:g}."
        )
    return notes


def _notes_on_pairs(pairs: Sequence[Pair], primary: str, contenders: Sequence[Contender], unit: str) -> list[str]:
    notes = []
    if len(pairs) > 1:
        notes.append(
            f"{len(pairs)} pairs are compared: their judgements are corrected for it (Holm), their intervals not."
        )
    notes.extend(dict.fromkeys(word for pair in pairs if (word := _too_few(pair.metrics[primary], unit))))
    values = {contender.label: contender.values(primary) for contender in contenders}
    notes.extend(said for pair in pairs if (said := _without_spread(pair, primary, values, unit)))
    return notes


def _without_spread(pair: Pair, primary: str, values: Mapping[str, Sequence[float | None]], unit: str) -> str:
    """What is said of an interval without width; nothing of another one."""
    interval = pair.metrics[primary].interval
    if interval.low is None or interval.low != interval.high:
        return ""
    both = zip(values[pair.a], values[pair.b], strict=True)
    differences = [one - other for one, other in both if one is not None and other is not None]
    if max(differences) - min(differences) > TIE:
        return f"{pair.a} and {pair.b} differ by the same mean {primary} in every {unit.partition('/')[0]}."
    if max(map(abs, differences)) <= TIE:
        return f"{pair.a} and {pair.b} have the same {primary} on every image."
    return f"{pair.a} and {pair.b} differ by the same {primary} on every image."


def _too_few(paired: PairedMetric, unit: str) -> str:
    """What is said of a metric whose test could not have found anything; nothing where it could."""
    if paired.test is None or paired.questions * least_p(paired.groups) < LEVEL:
        return ""
    number = f" after correction for {paired.questions} pairs" if paired.questions > 1 else ""
    least = min(1.0, paired.questions * least_p(paired.groups))
    return (
        f"Signed-rank test: {counted(paired.groups, unit)} cannot give a p below {least:.3g}{number}, so no contender "
        "can be called better or worse."
    )
