"""Predict a set, score every image, summarise: the same function during training and after it, on one rank or many."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from vesselbench.config import EvalConfig, MetricOptions
from vesselbench.data.cache import MaskCache, load_with
from vesselbench.distributed import gather_rows, rank, world
from vesselbench.errors import UserError
from vesselbench.evaluation.deal import Dealt, batches, check_ids, deal, in_order
from vesselbench.evaluation.predict import Predict
from vesselbench.evaluation.score import metrics_of, score
from vesselbench.evaluation.spool import Spool
from vesselbench.evaluation.summary import metric_summaries, summarise
from vesselbench.evaluation.threshold import choose_threshold, values_at_thresholds
from vesselbench.hookspecs import Metric
from vesselbench.plugins import Catalogue
from vesselbench.rundir import RunDir, write_bytes, write_jsonl
from vesselbench.types import BoolMask, Example, Prediction, Sample, ScoreRow, Scores, SetName

Progress = Callable[[int, int], None]
"""Called with (images predicted, images to predict) of this rank's share, padding included."""


SMOKE_THRESHOLD = 0.5


@dataclass(frozen=True)
class Evaluation:
    """The scores of one set and the summary that summary.json holds."""

    scores: Scores
    summary: dict[str, Any]

    @property
    def primary(self) -> float | None:
        """Mean over images of the primary metric; None when no image has a value."""
        return self.scores.mean(self.summary["primary"])


def evaluate(
    predict: Predict,
    samples: Sequence[Sample],
    config: EvalConfig,
    catalogue: Catalogue,
    *,
    set_name: SetName,
    fingerprint: str,
    threshold: float | None = None,
    weights_sha256: str = "",
    limit: int | None = None,
    run: RunDir | None = None,
    progress: Progress | None = None,
    cache: MaskCache | None = None,
) -> Evaluation:
    """Score `predict` on every sample, at the original size and inside the field of view; rows in the samples' order.

    Every rank must call it with the same samples and gets the same result. The ranks share the samples and make equal
    numbers of predict calls of ``config.batch_size`` examples. `threshold` is the one chosen on the validation set;
    without it, and with ``config.threshold: validation``, it is chosen here on all images, which only the set "val"
    may do. `limit` keeps the first so many samples, for a smoke test: no threshold is chosen then, `SMOKE_THRESHOLD`
    counts. With `run`, prediction masks, the second
    observer's scores, scores.jsonl and summary.json are written there; that needs `weights_sha256`.

    `cache`: where decoded masks are taken from.
    Raises UserError for an empty set, doubled ids, a missing or contradicting threshold, and all that `load_example`
    and `score` refuse; ValueError when `predict` leaves out, adds or doubles a sample.
    """
    known, source = known_threshold(config, set_name, threshold)
    if known is None and limit is not None:
        known, source = SMOKE_THRESHOLD, "none chosen"  # one image may rightly have no value at any threshold
    wanted = _chosen(samples, set_name, limit)
    if run is not None and (limit is not None or not weights_sha256):
        raise ValueError("what is stored in a run must cover the whole set (no limit) and name its weights_sha256")
    metrics = metrics_of(config, catalogue)
    rows = _Rows(metrics, config.options, set_name, run)
    share = deal(wanted, rank(), world())
    if known is None:
        leading = next(metric for metric in metrics if metric.name == config.primary)
        known, seconds = _choose_then_score(predict, share, config, leading, rows, progress, cache)
    else:
        fixed = known
        seconds = _predict_share(predict, share, config, lambda p, e: rows.add(p, e, fixed), progress, cache)
    ordered = in_order(gather_rows(rows.model), [sample.id for sample in wanted])
    versions = {metric.name: metric.version for metric in metrics}
    scores = Scores(ordered, set_name, known, fingerprint, versions, weights_sha256)
    slowest, device = max(gather_rows([seconds])), _device_of(predict)
    summary = summarise(scores, metrics, config, threshold_from=source, seconds=slowest, device=device)
    _finish(scores, summary, rows)
    return Evaluation(scores, summary)


def _finish(scores: Scores, summary: dict[str, Any], rows: _Rows) -> None:
    """Add the second observer to the summary and, on rank 0, write everything; summary.json comes last."""
    position = {row.id: number for number, row in enumerate(scores.rows)}
    observer = sorted(gather_rows(rows.observer2), key=lambda row: position[row.id])
    if observer:
        summary["observer2"] = {"images": len(observer), "metrics": metric_summaries(observer, rows.metrics)}
    if rows.run is None or rank() != 0:
        return
    rows.run.observer_file(rows.set_name).unlink(missing_ok=True)  # an earlier evaluation's, perhaps of other images
    if observer:
        write_jsonl(rows.run.observer_file(rows.set_name), (asdict(row) for row in observer))
    rows.run.write_scores(scores, summary)


def known_threshold(config: EvalConfig, set_name: SetName, given: float | None) -> tuple[float | None, str]:
    """The threshold to score at (None: choose it here) and where it comes from, "validation" or "recipe".

    Raises UserError when a set other than val has none, or `given` is not the one that the recipe fixes.
    """
    if config.threshold != "validation":
        if given is not None and given != config.threshold:
            raise UserError(
                f"threshold {given} was given, but evaluation.threshold is {config.threshold}",
                "set evaluation.threshold=validation, or leave the other out",
            )
        return config.threshold, "recipe"
    if given is None and set_name != "val":
        raise UserError(
            f"the {set_name} set needs the threshold that was chosen on the validation set",
            "evaluate the val set first, or set evaluation.threshold to a number",
        )
    return given, "validation"


@dataclass
class _Rows:
    """What this rank has scored; masks are written as they come."""

    metrics: Sequence[Metric]
    options: MetricOptions
    set_name: SetName
    run: RunDir | None
    model: list[ScoreRow] = field(default_factory=list)
    observer2: list[ScoreRow] = field(default_factory=list)

    def add(self, prediction: Prediction, example: Example, threshold: float) -> None:
        """Score one image at the threshold and, for a run, its second observer as if it were a prediction."""
        prediction = replace(prediction, threshold=threshold)
        self.model.append(score(prediction, example, self.metrics, self.options))
        if self.run is None:
            return
        write_bytes(self.run.prediction_file(self.set_name, prediction.id), _png(prediction.mask()))
        if example.observer2 is not None:
            human = Prediction(example.sample.id, example.observer2.astype(np.float32), graded=False)
            self.observer2.append(score(human, example, self.metrics, self.options))


def _chosen(samples: Sequence[Sample], set_name: SetName, limit: int | None) -> Sequence[Sample]:
    """The samples to score; UserError when there are none or two share an id."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}, not at least 1")
    if not samples:
        raise UserError(f"the {set_name} set is empty", "give it groups: data.split.val and data.split.test")
    seen: dict[str, Sample] = {}
    for sample in samples:
        if sample.id in seen:
            both = f"{seen[sample.id].origin or seen[sample.id].image} and {sample.origin or sample.image}"
            raise UserError(f"two samples have the id {sample.id!r}: {both}", "give each annotation an id of its own")
        seen[sample.id] = sample
    return samples[:limit]


def _predict_share(
    predict: Predict,
    share: Sequence[Dealt],
    config: EvalConfig,
    keep: Callable[[Prediction, Example], None],
    progress: Progress | None,
    cache: MaskCache | None,
) -> float:
    """Predict this rank's share and hand over all but the padding; returns the seconds inside `predict`."""
    seconds, done = 0.0, 0
    for piece in batches(share, config.batch_size):
        examples = [load_with(cache, dealt.sample) for dealt in piece]
        started = time.perf_counter()
        predictions = predict(examples)
        seconds += time.perf_counter() - started
        check_ids([example.sample.id for example in examples], [prediction.id for prediction in predictions])
        for dealt, prediction, example in zip(piece, predictions, examples, strict=True):
            if not dealt.padding:
                keep(prediction, example)
        done += len(piece)
        if progress is not None:
            progress(done, len(share))
    return seconds


def _choose_then_score(
    predict: Predict,
    share: Sequence[Dealt],
    config: EvalConfig,
    primary: Metric,
    rows: _Rows,
    progress: Progress | None,
    cache: MaskCache | None,
) -> tuple[float, float]:
    """Predict once, choose the threshold on the images of all ranks, then score; returns threshold and seconds."""
    values: list[list[float | None]] = []
    kept: list[Sample] = []
    with Spool() as spool:

        def keep(prediction: Prediction, example: Example) -> None:
            values.append(values_at_thresholds(prediction, example, primary, config.options))
            spool.put(prediction)
            kept.append(example.sample)

        seconds = _predict_share(predict, share, config, keep, progress, cache)
        everywhere: list[list[float | None]] = gather_rows(values)
        threshold = choose_threshold(everywhere, primary.better)
        for number, sample in enumerate(kept):
            rows.add(spool.get(number), load_with(cache, sample), threshold)
    return threshold, seconds


def _device_of(predict: Predict) -> str | None:
    """The device that the function, or the object whose method it is, says it runs on."""
    device = getattr(getattr(predict, "__self__", predict), "device", None)
    return None if device is None else str(device)


def _png(mask: BoolMask) -> bytes:
    """The mask as a PNG of one bit per pixel."""
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return buffer.getvalue()
