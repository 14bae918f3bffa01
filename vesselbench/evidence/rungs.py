"""The ladder of a bundle again: every rung that is drawn from the reference; the others need the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vesselbench.comparing.scored import ScoredRun
from vesselbench.errors import UserError
from vesselbench.evaluation.ladder import NAMED, as_prediction, cases_of, plain_rungs
from vesselbench.evaluation.metrics import PairMetric
from vesselbench.evaluation.pair import Reference
from vesselbench.evaluation.score import metrics_of, reference_of, score_against
from vesselbench.evaluation.summary import metric_summaries
from vesselbench.evidence.recompute import Recomputed, bare, evaluation_of
from vesselbench.ladder import Ladder
from vesselbench.plugins import Catalogue
from vesselbench.types import Example, ScoreRow

IMAGES = "of the ladder, set on the validation images and drawn from the images, which are not in the bundle"
NAMES = "of the ladder, drawn by a hash of the image's name, which is withheld"
PLUGINS = "of the ladder, by metrics of plugins that may need the image, which is not in the bundle"


class Rungs:
    """Scores the rungs image by image, then holds them against the stated ladder.

    What cannot be drawn again is counted with its reason: filters, rungs that depend on names where the names are
    `withheld`, and metrics of plugins.
    """

    def __init__(self, stated: Ladder, run: ScoredRun, catalogue: Catalogue, *, withheld: bool) -> None:
        self.stated, self._withheld = stated, withheld
        self._options = evaluation_of(run).options
        self._metrics = metrics_of(evaluation_of(run), catalogue)
        names = {rung.name for rung in stated.rungs}
        self._drawn = [one for one in plain_rungs() if one.name in names and not (withheld and one.name in NAMED)]
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
                left_out[NAMES if self._withheld and rung.name in NAMED else IMAGES] += _numbers(rung.metrics)
                continue
            rows, where = self._rows[rung.name], f"ladder, {rung.name}"
            found = metric_summaries(rows, metrics)
            stated = {name: entry for name, entry in rung.metrics.items() if name in found}
            others = {name: entry for name, entry in rung.metrics.items() if name not in found}
            if others:
                left_out[PLUGINS] += _numbers(others)
            done.hold([rung.definition, dict(rung.cases)], [definitions[rung.name], cases_of(rows)], where)
            done.hold(bare(stated), bare(found), where)
        done.left_out.update(left_out)


def _numbers(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_numbers(held) for held in value.values())
    return int(isinstance(value, int | float) and not isinstance(value, bool))
