"""The ladder of a bundle again: every rung that is drawn from the reference, and the filters where there are images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vesselbench.comparing.scored import ScoredRun
from vesselbench.errors import UserError
from vesselbench.evaluation.classical import find_setting
from vesselbench.evaluation.ladder import FILTERS, NAMED, Drawn, as_prediction, cases_of, filter_rung, plain_rungs
from vesselbench.evaluation.metrics import PairMetric
from vesselbench.evaluation.pair import Reference
from vesselbench.evaluation.score import metrics_of, reference_of, score_against
from vesselbench.evaluation.summary import metric_summaries
from vesselbench.evidence.recompute import PLUGIN, Recomputed, bare, evaluation_of
from vesselbench.ladder import Ladder
from vesselbench.plugins import Catalogue
from vesselbench.types import Example, ScoreRow

NAMES = "drawn by a hash of the image's name, which is withheld"
SETTINGS = "set on validation images, which are not in the bundle"


class Rungs:
    """Scores the rungs image by image, then holds them against the stated ladder.

    Filters are drawn with the settings that are stated; `blind`: why they cannot be, empty where the examples have
    their pixels. What cannot be drawn again is counted with its reason: those filters, how they were set, rungs that
    depend on names where the names are `withheld`, and metrics of plugins.
    """

    def __init__(self, stated: Ladder, run: ScoredRun, catalogue: Catalogue, *, withheld: bool, blind: str) -> None:
        self.stated, self._withheld, self._blind = stated, withheld, blind
        self._options = evaluation_of(run).options
        self._metrics = metrics_of(evaluation_of(run), catalogue)
        names = {rung.name for rung in stated.rungs}
        self._filters = [] if blind else stated_filters(stated)
        plain = [one for one in plain_rungs() if one.name in names and not (withheld and one.name in NAMED)]
        self._drawn = [*plain, *self._filters]
        self._rows: dict[str, list[ScoreRow]] = {one.name: [] for one in self._drawn}

    def score(self, example: Example) -> None:
        """Draw and score the rungs of one image."""
        reference, mask = Reference(example, self._options), reference_of(example)
        metrics = [metric for metric in self._metrics if isinstance(metric, PairMetric)]
        for one in self._drawn:
            prediction = as_prediction(example.sample.id, one.mask(example, mask))
            self._rows[one.name].append(score_against(reference, prediction, metrics))

    def hold(self, done: Recomputed) -> None:
        """Compare every rung, its definition and its counts with what is stated."""
        if missing := sorted({one.name for one in plain_rungs()} - {rung.name for rung in self.stated.rungs}):
            raise UserError(f"the ladder of the bundle has no rung {', '.join(missing)}", "ask for the bundle again")
        definitions = {one.name: one.definition for one in self._drawn}
        metrics = [metric for metric in self._metrics if isinstance(metric, PairMetric)]
        left_out: Counter[str] = Counter()
        for rung in self.stated.rungs:
            if rung.name not in definitions:
                why = NAMES if self._withheld and rung.name in NAMED else self._blind
                left_out[f"{rung.name} of the ladder: {why}"] += _numbers(rung.metrics)
                continue
            rows, where = self._rows[rung.name], f"ladder, {rung.name}"
            found = metric_summaries(rows, metrics)
            stated = {name: entry for name, entry in rung.metrics.items() if name in found}
            others = {name: entry for name, entry in rung.metrics.items() if name not in found}
            if others:
                left_out[f"{', '.join(others)} of the ladder: {PLUGIN}"] += _numbers(others)
            done.hold([rung.definition, dict(rung.cases)], [definitions[rung.name], cases_of(rows)], where)
            done.hold(bare(stated), bare(found), where)
        done.left_out.update(left_out)
        for one in self._filters:
            done.left_out[f"settings of {one.name}: {SETTINGS}"] += 1


def stated_filters(ladder: Ladder) -> list[Drawn]:
    """The rungs of filters as their definitions say; UserError for settings among which none is chosen."""
    found = []
    for rung in ladder.rungs:
        if rung.name in FILTERS:
            one = find_setting(rung.definition)
            if one is None:
                raise UserError(f"the ladder of the bundle has no {rung.name} that can be chosen: {rung.definition}")
            found.append(filter_rung(rung.name, rung.definition, one))
    return found


def _numbers(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_numbers(held) for held in value.values())
    return int(isinstance(value, int | float) and not isinstance(value, bool))
