"""The work of an evaluation: predict a share, choose the threshold, score and store each image as it comes."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from vesselbench.config import EvalConfig
from vesselbench.data.cache import MaskCache, load_with
from vesselbench.evaluation.conventions import tables_of
from vesselbench.evaluation.deal import Dealt, batches, check_ids
from vesselbench.evaluation.journal import Journal, Scored
from vesselbench.evaluation.pair import Reference
from vesselbench.evaluation.pool import map_in_order
from vesselbench.evaluation.predict import Predict
from vesselbench.evaluation.reuse import Earlier, merged
from vesselbench.evaluation.score import reference_of, score_against
from vesselbench.evaluation.spool import Spool
from vesselbench.evaluation.threshold import choose_threshold, values_at_thresholds
from vesselbench.hookspecs import Metric
from vesselbench.rundir import RunDir, write_bytes
from vesselbench.types import BoolMask, Example, Prediction, ScoreRow, SetName

Progress = Callable[[int, int], None]
"""Called with (images predicted, images to predict) of this rank's share, padding included."""


@dataclass(frozen=True)
class Predicted:
    """A prediction, what it is of, and the seconds that it took."""

    prediction: Prediction
    example: Example
    seconds: float


@dataclass(frozen=True)
class Scoring:
    """How images are scored and, with a run, stored. `earlier`: a complete evaluation, of which what holds is kept."""

    metrics: Sequence[Metric]
    config: EvalConfig
    set_name: SetName
    run: RunDir | None
    earlier: Earlier | None = None

    def score_all(self, predicted: Iterable[Predicted], threshold: float, journal: Journal | None) -> list[Scored]:
        """Score as they come, in several threads; in their order. Each is noted in the journal once it is stored.

        An error has a note that names the sample.
        """

        def work(one: Predicted) -> Scored:
            try:
                scored = self._score(one, threshold)
            except Exception as error:
                error.add_note(f"while sample {one.prediction.id!r} was scored")
                raise
            if journal is not None:
                journal.add(scored)
            return scored

        return list(map_in_order(work, predicted))

    def _score(self, one: Predicted, threshold: float) -> Scored:
        """Score one image at the threshold and, for a run, its second observer as if it were a prediction."""
        prediction, example = replace(one.prediction, threshold=threshold), one.example
        reference_of(example)
        reference, was = Reference(example, self.config.options), self._was(prediction.id)
        row, human = self._row(reference, prediction, None if was is None else was.row), None
        if self.run is not None and was is None:
            write_bytes(self.run.prediction_file(self.set_name, prediction.id), _png(prediction.mask()))
            if self.config.store_probabilities:
                path = self.run.probability_file(self.set_name, prediction.id)
                write_bytes(path, _png(np.round(prediction.probability * 65535).astype(np.uint16)))
        if self.run is not None and example.observer2 is not None:
            drawn = Prediction(prediction.id, example.observer2.astype(np.float32), graded=False)
            human = self._row(reference, drawn, None if was is None else was.observer2)
        tables = tables_of(prediction, example) if self.config.conventions else None
        return Scored(row, human, one.seconds if was is None else was.seconds, tables)

    def _was(self, name: str) -> Scored | None:
        """The image as an earlier evaluation has scored it, where its prediction is taken over."""
        if self.earlier is None or name not in self.earlier.rows:
            return None
        return Scored(self.earlier.rows[name], self.earlier.observer2.get(name), self.earlier.seconds)

    def _row(self, reference: Reference, prediction: Prediction, was: ScoreRow | None) -> ScoreRow:
        if was is None or self.earlier is None:
            return score_against(reference, prediction, self.metrics)
        fresh = [metric for metric in self.metrics if metric.name not in self.earlier.carried]
        return merged(was, score_against(reference, prediction, fresh), self.earlier.carried, self.metrics)


def predict_share(
    predict: Predict, share: Sequence[Dealt], batch_size: int, progress: Progress | None, cache: MaskCache | None
) -> Iterator[Predicted]:
    """Predict this rank's share and give all but the padding."""
    done = 0
    for piece in batches(share, batch_size):
        examples = [load_with(cache, dealt.sample) for dealt in piece]
        started = time.perf_counter()
        predictions = predict(examples)
        seconds = (time.perf_counter() - started) / len(piece)
        check_ids([example.sample.id for example in examples], [prediction.id for prediction in predictions])
        for dealt, prediction, example in zip(piece, predictions, examples, strict=True):
            if not dealt.padding:
                yield Predicted(prediction, example, seconds)
        done += len(piece)
        if progress is not None:
            progress(done, len(share))


def choose_on(predicted: Iterable[Predicted], primary: Metric, config: EvalConfig, spool: Spool) -> float:
    """The threshold that is best on the images of all ranks; this rank's predictions lie in the spool then.

    Those that lay there before are counted too.
    """

    def measure(one: Predicted) -> None:
        spool.put(
            one.prediction, values_at_thresholds(one.prediction, one.example, primary, config.options), one.seconds
        )

    for _ in map_in_order(measure, predicted):
        pass
    return choose_threshold(spool.values(), primary.better)


def from_spool(spool: Spool, share: Sequence[Dealt], cache: MaskCache | None) -> Iterator[Predicted]:
    """The predictions of this rank's share, padding left out, as the spool holds them."""
    for dealt in share:
        if not dealt.padding:
            name = dealt.sample.id
            yield Predicted(spool.get(name), load_with(cache, dealt.sample), spool.kept[name].seconds)


def _png(pixels: BoolMask | npt.NDArray[np.uint16]) -> bytes:
    """A PNG: one bit a pixel of bool, 16 bits of uint16."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
