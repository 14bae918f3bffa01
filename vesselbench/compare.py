"""Compare runs that were scored on the same images: join by id, refuse what is unlike, pair (no torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from vesselbench.contender import Contender, label_apart, mean_of, read_contender
from vesselbench.errors import UserError
from vesselbench.likeness import notes_of, refuse_unlike
from vesselbench.pairing import Pair, pair_runs
from vesselbench.rundir import RunDir
from vesselbench.types import ScoreRow, SetName
from vesselbench.verdict import verdict

__all__ = ["Comparison", "compare", "verdict"]


@dataclass(frozen=True)
class Comparison:
    """Runs joined by id. Every run's rows stand in the order of `images`; `groups` runs along with it."""

    set_name: SetName
    primary: str
    margin: float
    directions: Mapping[str, str]
    """metric name -> "higher" or "lower", whichever is better."""
    runs: tuple[Contender, ...]
    images: tuple[str, ...]
    groups: tuple[str, ...]
    pairs: tuple[Pair, ...]
    """Every two runs, in the order in which they were given."""
    observer2: tuple[ScoreRow, ...] | None
    """The second observer's rows, when every run has them."""
    notes: tuple[str, ...]

    def ranked(self) -> list[Contender]:
        """Runs from the best to the worst mean of the primary metric; those without any value last."""
        sign = -1.0 if self.directions[self.primary] == "higher" else 1.0
        means = {run.label: mean_of(run.values(self.primary)) for run in self.runs}

        def place(run: Contender) -> tuple[bool, float]:
            mean = means[run.label]
            return (mean is None, sign * (mean or 0.0))

        return sorted(self.runs, key=place)


def compare(runs: Sequence[RunDir], set_name: SetName = "test", margin: float = 0.01) -> Comparison:
    """Compare finished runs on one set; the first is the baseline. One run gives a Comparison without pairs.

    `margin`: the difference of the primary metric, in its own unit, below which runs count as equivalent.
    Raises UserError, naming the runs and what differs, for unlike data, splits, images, metrics or primary metrics,
    for a run given twice, for one that has not finished or whose scores do not cover the set.
    """
    if not runs:
        raise UserError("no runs to compare", "name at least two, for example: vesselbench compare sa2va unet")
    if not margin >= 0:
        raise UserError(f"the margin of equivalence is {margin}", "give 0 or more, for example 0.01")
    read = [read_contender(run, set_name) for run in runs]
    refuse_unlike(read)
    first = read[0]
    ids = tuple(row.id for row in first.scores.rows)
    groups = tuple(row.group or row.id for row in first.scores.rows)
    labels = label_apart([contender.label for contender in read], [run.path.name for run in runs])
    contenders = tuple(_in_order(replace(c, label=label), ids) for c, label in zip(read, labels, strict=True))
    pairs = tuple(pair_runs(a, b, groups, margin) for a, b in combinations(contenders, 2))
    observed = all(contender.observer2 is not None for contender in contenders)
    return Comparison(
        set_name=set_name,
        primary=first.primary,
        margin=margin,
        directions=first.directions,
        runs=contenders,
        images=ids,
        groups=groups,
        pairs=pairs,
        observer2=first.observer2 if observed else None,
        notes=(*notes_of(contenders), *_notes_on_pairs(pairs, first.primary)),
    )


def _in_order(contender: Contender, ids: Sequence[str]) -> Contender:
    rows = {row.id: row for row in contender.scores.rows}
    return replace(contender, scores=replace(contender.scores, rows=tuple(rows[sample] for sample in ids)))


def _notes_on_pairs(pairs: Sequence[Pair], primary: str) -> list[str]:
    notes = []
    if len(pairs) > 1:
        notes.append(f"{len(pairs)} pairs are compared; intervals and p are not adjusted for their number.")
    tests = [pair.metrics[primary].test for pair in pairs]
    words = dict.fromkeys(test.note for test in tests if test is not None and test.note)
    notes.extend(f"Signed-rank test: {word}." for word in words)
    return notes
