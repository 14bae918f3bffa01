"""What a complete evaluation that lies in a run is still good for: all of it, its predictions, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesselbench.config import EvalConfig
from vesselbench.errors import UserError
from vesselbench.evaluation.basis import difference
from vesselbench.evaluation.journal import stored_mask
from vesselbench.evaluation.metrics import PairMetric
from vesselbench.evaluation.predict import Predict
from vesselbench.hookspecs import Metric
from vesselbench.rundir import RunDir, read_json, read_jsonl
from vesselbench.types import BoolMask, Example, Prediction, ScoreRow, Scores, SetName

STEP = 1 / 65535
"""Of a stored probability."""
NAMED = 3
"""Things that a sentence names; the rest is counted."""


@dataclass(frozen=True)
class Earlier:
    """A complete evaluation whose predictions are scored again.

    `carried`: metrics whose values are kept. `damaged`: images whose stored mask is not whole, which are predicted.
    `graded`: the stored probabilities (16 bits) are read too.
    """

    scores: Scores
    observer2: Mapping[str, ScoreRow]
    summary: Mapping[str, Any]
    carried: frozenset[str]
    damaged: frozenset[str]
    graded: bool

    @cached_property
    def rows(self) -> dict[str, ScoreRow]:
        """The rows whose masks are whole, by id."""
        return {row.id: row for row in self.scores.rows if row.id not in self.damaged}

    @property
    def seconds(self) -> float:
        """What the prediction of an image took then, on average."""
        return float(self.summary["seconds"]) / len(self.scores.rows)

    def stated(self) -> dict[str, Any]:
        """What summary.json says of it."""
        return {"predictions": len(self.rows), "values": sorted(self.carried)}


@dataclass(frozen=True)
class Reuse:
    """What is found. `earlier`: None when everything is predicted. `complete`: there is nothing to do at all."""

    said: str
    earlier: Earlier | None = None
    complete: bool = False


def look(
    run: RunDir,
    set_name: SetName,
    basis: Mapping[str, str],
    threshold: float,
    config: EvalConfig,
    metrics: Sequence[Metric],
) -> Reuse:
    """What of the stored evaluation of a set holds for this basis, threshold, these metrics and options.

    Predictions hold when the basis and the threshold are the same, and every stored mask has the hash of its row. A
    metric's value holds when its name, version and options are the same too; of the others those that need
    probabilities can only be computed where these were stored. `said`: one line on what is used again, or why not; none
    where nothing was stored.
    """
    if not (run.evaluation(set_name) / "summary.json").is_file():
        return Reuse("")
    try:
        scores, summary = run.scores(set_name), read_json(run.evaluation(set_name) / "summary.json")
        seen = read_jsonl(run.observer_file(set_name)) if run.observer_file(set_name).is_file() else []
        observer2 = {row["id"]: ScoreRow(**row) for row in seen}
    except (UserError, TypeError, KeyError) as error:
        return Reuse(f"predicting again: {error.message if isinstance(error, UserError) else repr(error)}")
    why = _unlike(summary, basis, threshold) or _not_stored(run, set_name, scores, summary, config)
    if why is not None:
        return Reuse(f"predicting again: {why}")
    news = _news(summary, config, metrics)
    carried = frozenset(metric.name for metric in metrics if metric.name not in news)
    wanting = [metric.name for metric in metrics if metric.name in news and _needs_probabilities(metric)]
    probable = _all_there(run, set_name, scores)
    if wanting and not probable:
        reasons = _listed([news[name] for name in wanting])
        return Reuse(f"predicting again: {reasons}, and the probabilities that this needs were not stored")
    damaged = frozenset(row.id for row in scores.rows if not _is_whole(run, set_name, row, threshold, bool(wanting)))
    if (news or damaged) and config.conventions:
        cause = _listed([*news.values(), *_of_damage(damaged)])
        return Reuse(f"predicting again: {cause}, and conventions need the probabilities at every threshold")
    earlier = Earlier(scores, observer2, summary, carried, damaged, bool(wanting))
    count = len(scores.rows) - len(damaged)
    if not news and not damaged:
        same = "weights, data, settings and metrics are the same"
        return Reuse(f"reused: {count} predictions and scores of the {set_name} set ({same})", earlier, complete=True)
    return Reuse(_sentence(earlier, count, news, wanting, metrics), earlier)


def _sentence(
    earlier: Earlier, count: int, news: Mapping[str, str], wanting: Sequence[str], metrics: Sequence[Metric]
) -> str:
    parts = [f"reused: {count} stored predictions, scored again: {_listed(list(news.values()))}"] if news else []
    if not news:
        parts = [f"reused: {count} stored predictions and their scores"]
    if wanting:
        parts.append(f"{_listed(wanting)} from stored probabilities of 16 bits")
    kept = [metric.name for metric in metrics if metric.name in earlier.carried and _needs_probabilities(metric)]
    if kept and news:
        parts.append(f"values of {_listed(kept)} are carried over (same version)")
    return "; ".join([*parts, *(f"{text}: predicted again" for text in _of_damage(earlier.damaged))])


def _unlike(summary: Mapping[str, Any], basis: Mapping[str, str], threshold: float) -> str | None:
    then = summary.get("predicted_from")
    if not isinstance(then, dict):
        return "the stored scores do not say what they were predicted from (an earlier version wrote them)"
    if unlike := difference(basis, then):
        return unlike
    if summary["threshold"] != threshold:
        return f"the threshold differs: {threshold:g} now, {summary['threshold']:g} then"
    return None


def _not_stored(
    run: RunDir, set_name: SetName, scores: Scores, summary: Mapping[str, Any], config: EvalConfig
) -> str | None:
    """What is asked for and can only come from a prediction."""
    absent = [name for name in config.conventions if name not in summary.get("conventions", {})]
    if absent:
        return f"the convention {_listed(absent)} was not measured then"
    if config.store_probabilities and not _all_there(run, set_name, scores):
        return "evaluation.store_probabilities asks for probabilities, which were not stored"
    return None


def _news(summary: Mapping[str, Any], config: EvalConfig, metrics: Sequence[Metric]) -> dict[str, str]:
    """Why values cannot be taken over, by metric; what concerns none of them under a key that is no metric's name."""
    then: Mapping[str, int] = summary["metric_versions"]
    if summary["options"] != config.options.model_dump(mode="json"):
        return {metric.name: "evaluation.options differ" for metric in metrics}
    news = {}
    for metric in metrics:
        if metric.name not in then:
            news[metric.name] = f"{metric.name} is new"
        elif then[metric.name] != metric.version:
            news[metric.name] = f"{metric.name} is of version {metric.version} now, {then[metric.name]} then"
    gone = sorted(then.keys() - {metric.name for metric in metrics})
    if gone:
        news[""] = f"{_listed(gone)} no longer scored"
    elif summary["primary"] != config.primary:
        news[""] = f"the primary metric is {config.primary} now, {summary['primary']} then"
    return news


def _needs_probabilities(metric: Metric) -> bool:
    """Somebody else's metric may read them."""
    return metric.graded if isinstance(metric, PairMetric) else True


def _all_there(run: RunDir, set_name: SetName, scores: Scores) -> bool:
    return all(run.probability_file(set_name, row.id).is_file() for row in scores.rows)


def _is_whole(run: RunDir, set_name: SetName, row: ScoreRow, threshold: float, graded: bool) -> bool:
    mask = stored_mask(run.prediction_file(set_name, row.id), row.mask_sha256)
    if mask is None or not graded:
        return mask is not None
    return stored_probability(run.probability_file(set_name, row.id), mask, threshold) is not None


def _of_damage(damaged: Collection[str]) -> list[str]:
    return [f"the stored predictions of {_listed(sorted(damaged))} are damaged or missing"] if damaged else []


def _listed(names: Sequence[str]) -> str:
    unlike = list(dict.fromkeys(names))
    more = f" and {len(unlike) - NAMED} more" if len(unlike) > NAMED else ""
    return ", ".join(unlike[:NAMED]) + more


class Stored:
    """A `Predict` that reads what a complete evaluation has stored; a model predicts what is damaged, and is loaded
    by `load` for the first of it.

    The masks are those that were scored, at `threshold`. UserError for one that is damaged since it was looked at.
    """

    def __init__(
        self, run: RunDir, set_name: SetName, earlier: Earlier, threshold: float, load: Callable[[], Predict]
    ) -> None:
        self.device = earlier.summary.get("device")
        self._run, self._set, self._earlier, self._threshold = run, set_name, earlier, threshold
        self._load = load
        self._model: Predict | None = None

    def __call__(self, examples: list[Example]) -> list[Prediction]:
        return [self._one(example) for example in examples]

    def _one(self, example: Example) -> Prediction:
        name = example.sample.id
        row = self._earlier.rows.get(name)
        if row is None:
            if self._model is None:
                self._model = self._load()
            return self._model([example])[0]
        path = self._run.prediction_file(self._set, name)
        mask = stored_mask(path, row.mask_sha256)
        probability = None if mask is None else mask.astype(np.float32)
        if mask is not None and self._earlier.graded:
            path = self._run.probability_file(self._set, name)
            probability = stored_probability(path, mask, self._threshold)
        if probability is None:
            raise UserError(f"{path} was changed while it was scored", "start it again")
        return Prediction(name, probability, status=row.status, graded=self._earlier.graded)


def stored_probability(path: Path, mask: BoolMask, threshold: float) -> npt.NDArray[np.float32] | None:
    """Probabilities float32 [H,W] that were written in 16 bits; None unless they are whole and those of the mask.

    Each is held to the side of the threshold on which its mask is, from which a half of the last bit can move it.
    """
    try:
        with Image.open(path) as image:
            values = np.asarray(image).astype(np.float64) * STEP
    except (OSError, ValueError, SyntaxError):  # PIL's ways to say that a PNG is not whole
        return None
    single = np.float32(threshold)
    if values.shape != mask.shape or (((values >= single) != mask) & (abs(values - single) > STEP)).any():
        return None
    probability, below = values.astype(np.float32), np.nextafter(single, np.float32(0))
    held: npt.NDArray[np.float32] = np.where(mask, np.maximum(probability, single), np.minimum(probability, below))
    return held


def merged(was: ScoreRow, now: ScoreRow, carried: Collection[str], metrics: Sequence[Metric]) -> ScoreRow:
    """The new row of an image, with the values of the carried metrics as they were."""
    sources = {metric.name: was if metric.name in carried else now for metric in metrics}
    values = {name: row.values[name] for name, row in sources.items()}
    reasons = {name: sources[name].reasons[name] for name, value in values.items() if value is None}
    calibration = sources["ece"].calibration if "ece" in sources else {}
    return replace(now, values=values, reasons=reasons, calibration=calibration, status=was.status)
