"""Predict a set, score every image, summarise: the same function during training and after it, on one rank or many."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from vesselbench.config import EvalConfig
from vesselbench.data.cache import MaskCache
from vesselbench.distributed import gather_rows, on_first, rank, world
from vesselbench.errors import UserError
from vesselbench.evaluation.conventions import Tables, convention_summary
from vesselbench.evaluation.deal import Dealt, deal, in_order
from vesselbench.evaluation.journal import Journal, Scored
from vesselbench.evaluation.predict import Predict
from vesselbench.evaluation.reuse import Earlier
from vesselbench.evaluation.score import metrics_of
from vesselbench.evaluation.scoring import Predicted, Progress, Scoring, choose_on, from_spool, predict_share
from vesselbench.evaluation.spool import Spool
from vesselbench.evaluation.summary import metric_summaries, summarise
from vesselbench.plugins import Catalogue
from vesselbench.rundir import RunDir, check_set_name, write_jsonl
from vesselbench.types import Sample, ScoreRow, Scores, SetName

SMOKE_THRESHOLD = 0.5
KEPT_UNDER = ("options", "primary", "batch_size", "store_probabilities", "conventions")
"""Settings under which unfinished work is kept: with others it is begun anew."""


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
    basis: Mapping[str, str] | None = None,
    earlier: Earlier | None = None,
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
    counts. With `run`, prediction masks, the second observer's scores, scores.jsonl and summary.json are written there;
    that needs `weights_sha256` and a folder that all ranks see. Such an evaluation, when it was stopped, goes on where
    it was, on as many processes as before or another number: what is stored of the same weights, data, threshold,
    metrics and options is not predicted again. `basis` (`basis.basis_of`) says what else that depends on; summary.json
    keeps it. `earlier`: what `reuse.look` has found in the run; `predict` is a `reuse.Stored` of it then.

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
    scoring = Scoring(metrics_of(config, catalogue), config, set_name, run, earlier)
    versions = {metric.name: metric.version for metric in scoring.metrics}
    what = {"weights_sha256": weights_sha256, "fingerprint": fingerprint, "predicted_from": dict(basis or {})}
    key = {**what, "metric_versions": versions, **config.model_dump(mode="json", include=set(KEPT_UNDER))}
    work = partial(predict_share, predict, batch_size=config.batch_size, progress=progress, cache=cache)
    known, scored = _score_share(scoring, wanted, known, work, key, cache)
    ordered = in_order(gather_rows([one.row for one in scored]), [sample.id for sample in wanted])
    scores = Scores(ordered, set_name, known, fingerprint, versions, weights_sha256)
    slowest, device = max(gather_rows([sum(one.seconds for one in scored)])), _device_of(predict)
    summary = summarise(scores, scoring.metrics, config, threshold_from=source, seconds=slowest, device=device)
    tables = {name: one for part in gather_rows([_tables_by_id(scored)]) for name, one in part.items()}
    summary["predicted_from"] = what["predicted_from"]
    if earlier is not None:
        summary["reused"] = earlier.stated()
    if config.conventions:
        summary["conventions"] = convention_summary(config.conventions, ordered, [tables[row.id] for row in ordered])
    _finish(scores, summary, scoring, [one.observer2 for one in scored if one.observer2 is not None])
    return Evaluation(scores, summary)


def _score_share(
    scoring: Scoring,
    wanted: Sequence[Sample],
    known: float | None,
    work: Callable[[Sequence[Dealt]], Iterator[Predicted]],
    key: dict[str, Any],
    cache: MaskCache | None,
) -> tuple[float, list[Scored]]:
    """This rank's images scored, and the threshold, which is chosen first where it is not known.

    With a run, what an evaluation of the same `key` has left behind is taken over, and the rest dealt out: rank 0 gives
    the rows that are done, all ranks score what is predicted.
    """
    run = scoring.run
    if known is None:
        leading = next(metric for metric in scoring.metrics if metric.name == scoring.config.primary)
        with Spool(None if run is None else run.spool_folder(scoring.set_name), key) as spool:
            share = _share([sample for sample in wanted if sample.id not in spool.before])
            known = choose_on(work(share), leading, scoring.config, spool)
            mine = [*share, *_share([sample for sample in wanted if sample.id in spool.before])]
            return known, scoring.score_all(from_spool(spool, mine, cache), known, None)
    journal = None if run is None else Journal(run, scoring.set_name, {**key, "threshold": known})
    before = {} if journal is None else journal.done
    share = _share([sample for sample in wanted if sample.id not in before])
    scored = scoring.score_all(work(share), known, journal)
    return known, [*(before.values() if rank() == 0 else ()), *scored]


def _share(samples: Sequence[Sample]) -> list[Dealt]:
    """What of these this rank works on; nothing when there are none."""
    return deal(samples, rank(), world()) if samples else []


def _tables_by_id(scored: Sequence[Scored]) -> dict[str, Tables]:
    return {one.row.id: one.tables for one in scored if one.tables is not None}


def _finish(scores: Scores, summary: dict[str, Any], scoring: Scoring, seen: list[ScoreRow]) -> None:
    """Add the second observer to the summary, write everything on rank 0, summary.json last, and clear up."""
    position = {row.id: number for number, row in enumerate(scores.rows)}
    observer = sorted(gather_rows(seen), key=lambda row: position[row.id])
    if observer:
        summary["observer2"] = {"images": len(observer), "metrics": metric_summaries(observer, scoring.metrics)}
    run, set_name = scoring.run, scoring.set_name
    if run is None:
        return
    on_first(partial(_write, run, scores, summary, observer))
    for path in run.unfinished_files(set_name):
        path.unlink(missing_ok=True)  # another rank may have been first
    shutil.rmtree(run.spool_folder(set_name), ignore_errors=True)


def _write(run: RunDir, scores: Scores, summary: dict[str, Any], observer: Sequence[ScoreRow]) -> None:
    file = run.observer_file(check_set_name(scores.set_name))
    file.unlink(missing_ok=True)  # an earlier evaluation's, perhaps of other images
    if observer:
        write_jsonl(file, (asdict(row) for row in observer))
    run.write_scores(scores, summary)


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


def _device_of(predict: Predict) -> str | None:
    """The device that the function, or the object whose method it is, says it runs on."""
    device = getattr(getattr(predict, "__self__", predict), "device", None)
    return None if device is None else str(device)
