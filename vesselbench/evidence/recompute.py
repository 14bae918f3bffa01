"""Scores again, from the masks of a bundle: every value that masks decide, and what would need more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vesselbench.comparing.scored import ScoredRun
from vesselbench.config import EvalConfig
from vesselbench.data.images import load_pixels, open_image, read_image
from vesselbench.data.masks import decode
from vesselbench.errors import UserError
from vesselbench.evaluation.metrics import PairMetric
from vesselbench.evaluation.pair import Reference
from vesselbench.evaluation.score import metrics_of, score_against
from vesselbench.evaluation.summary import metric_summaries, summarise
from vesselbench.evidence.contents import IMAGES, REFERENCE, SAMPLES, run_folder
from vesselbench.evidence.differing import Comparing, Difference
from vesselbench.hookspecs import Metric
from vesselbench.plugins import Catalogue
from vesselbench.recipes import validate_options
from vesselbench.rundir import check_set_name, file_name, read_jsonl
from vesselbench.types import BoolMask, Example, MaskFile, Prediction, Sample, ScoreRow, Size

PROBABILITIES = "no probabilities in the bundle"
QUANTISED = 1e-3
"""Scores are made from exact probabilities, of which 16 bits are stored: pixels that were apart can then be equal, or
lie beyond a bin's end. Measured on drawn images of 64 to 512 pixels: 1.3e-5 (auc) and 1.5e-6 (ece) at most; a model
that is sure of everything loses more."""
PLUGIN = "a plugin's, which may need more than masks"
FROM_MASKS = ("case", "mask_sha256", "counts")
"""Fields of a row beside its values that the masks decide."""


@dataclass
class Recomputed:
    """What has been computed again: differences, how many numbers were held against each other, how many not."""

    differences: list[Difference] = field(default_factory=list)
    comparing: Comparing = field(default_factory=Comparing)
    left_out: Counter[str] = field(default_factory=Counter)
    """How many are taken as stated, by "what: why"."""
    rough: int = 0
    """Of the numbers, those of 16-bit probabilities, held to within `QUANTISED`."""

    def hold(self, stated: Any, found: Any, where: str) -> None:
        """Compare two values and keep every difference."""
        self.differences.extend(self.comparing.differences(stated, found, where))


def evaluation_of(run: ScoredRun) -> EvalConfig:
    """How a run was scored, from its recipe."""
    return validate_options(EvalConfig, dict(run.config.get("evaluation") or {}), "evaluation.")


def read_references(folder: Path, *, images: bool = False) -> Iterator[Example]:
    """The images of a bundle in order; their pixels are black unless `images` are asked for.

    UserError names the line, or the mask or image, that is missing or not right.
    """
    path = folder / REFERENCE / SAMPLES
    for number, line in enumerate(read_jsonl(path), 1):
        try:
            height, width = (int(side) for side in line["size"])
            spacing = None if line["spacing"] is None else (float(line["spacing"][0]), float(line["spacing"][1]))
            name, group, target = (str(line[key]) for key in ("id", "group", "target"))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"{SAMPLES} line {number} is not right: {error!r}", "ask for the bundle again") from None
        sample = Sample(name, path, None, target=target, group=group, spacing=spacing)
        masks = {place: _mask(folder, place, name, (height, width)) for place in ("masks", "fov", "observer2")}
        if masks["masks"] is None:
            raise UserError(f"the bundle has no reference mask of {name!r}", "ask for the bundle again")
        size = (height, width)
        image = _image(folder, name, size) if images else np.zeros((*size, 3), np.uint8)
        yield Example(sample, image, masks["masks"], masks["fov"], masks["observer2"])


def _image(folder: Path, name: str, size: Size) -> npt.NDArray[np.uint8]:
    path = folder / REFERENCE / IMAGES / f"{file_name(name)}.png"
    if not path.is_file():
        raise UserError(f"the bundle has no image of {name!r}", "ask for the bundle again")
    image = read_image(path)
    if image.shape[:2] != size:
        raise UserError(f"the image of {name!r} is of another size than {SAMPLES} says", "ask for the bundle again")
    return image


def _mask(folder: Path, place: str, name: str, size: Size) -> BoolMask | None:
    path = folder / REFERENCE / place / f"{file_name(name)}.png"
    return decode(MaskFile(path), size, f"{REFERENCE}/{place}/{path.name}") if path.is_file() else None


def recompute_rows(
    folder: Path, runs: Sequence[ScoredRun], example: Example, catalogue: Catalogue, done: Recomputed
) -> None:
    """Score one image of every run again and hold it against its row of the scores."""
    reference: Reference | None = None
    name = example.sample.id
    for run in runs:
        where = f"{run.where}, scores of {name!r}"
        row = next((row for row in run.scores.rows if row.id == name), None)
        path = run_folder(folder, run).prediction_file(check_set_name(run.scores.set_name), name)
        if row is None or not path.is_file():
            done.differences.append(Difference(where, "a reference", "no row" if row is None else "no predicted mask"))
            continue
        config = evaluation_of(run)
        metrics = metrics_of(config, catalogue)
        if reference is None or reference.options != config.options:
            reference = Reference(example, config.options)
        done.hold([row.group, row.target], [example.sample.group, example.sample.target], f"{where}, group and target")
        _hold_row(row, decode(MaskFile(path), example.size, path.name), reference, metrics, where, done)
        stored = run_folder(folder, run).probability_file(check_set_name(run.scores.set_name), name)
        _hold_graded(row, stored, reference, metrics, where, done)
        human = next((row for row in run.observer2 or () if row.id == name), None)
        if human is not None and example.observer2 is not None:
            _hold_row(human, example.observer2, reference, metrics, f"{where}, second observer", done)


def _hold_row(
    row: ScoreRow, mask: BoolMask, reference: Reference, metrics: Sequence[Metric], where: str, done: Recomputed
) -> None:
    from_masks = [metric for metric in metrics if isinstance(metric, PairMetric) and not metric.graded]
    for metric in metrics:
        if row.values.get(metric.name) is not None and not isinstance(metric, PairMetric):
            done.left_out[f"{metric.name}: {PLUGIN}"] += 1
    drawn = Prediction(reference.example.sample.id, mask.astype(np.float32), threshold=0.5, graded=False)
    found = score_against(reference, drawn, from_masks)
    names = [metric.name for metric in from_masks]
    done.hold({name: row.values.get(name) for name in names}, dict(found.values), where)
    stated, now = asdict(row), asdict(found)
    done.hold({key: stated[key] for key in FROM_MASKS}, {key: now[key] for key in FROM_MASKS}, where)


def _hold_graded(
    row: ScoreRow, stored: Path, reference: Reference, metrics: Sequence[Metric], where: str, done: Recomputed
) -> None:
    """Metrics of probabilities, from 16-bit ones where the bundle holds them, to within `QUANTISED`."""
    graded = [metric for metric in metrics if isinstance(metric, PairMetric) and metric.graded]
    if not stored.is_file():
        for metric in graded:
            if row.values.get(metric.name) is not None:
                done.left_out[f"{metric.name}: {PROBABILITIES}"] += 1
        return
    levels = np.asarray(load_pixels(open_image(stored), stored))
    if levels.shape != reference.example.size:
        done.differences.append(Difference(f"{where}, probabilities", reference.example.size, levels.shape))
        return
    probability = (levels / 65535).astype(np.float32)
    found = score_against(reference, Prediction(row.id, probability, threshold=0.5), graded)
    stated = {metric.name: row.values.get(metric.name) for metric in graded}
    rough = Comparing(tolerance=QUANTISED)
    done.differences.extend(rough.differences(stated, dict(found.values), where))
    done.comparing.numbers += rough.numbers
    done.rough += rough.numbers


def summaries(run: ScoredRun, catalogue: Catalogue) -> tuple[dict[str, Any], dict[str, Any]]:
    """summary.json as it is stated, and as its rows give it now; what only a clock can know is taken as stated."""
    config, stated = evaluation_of(run), dict(run.summary)
    metrics = metrics_of(config, catalogue)
    found = summarise(
        run.scores,
        metrics,
        config,
        threshold_from=str(stated.get("threshold_from")),
        seconds=float(stated.get("seconds") or 0),
        device=stated.get("device"),
    )
    if run.observer2 is not None:
        entries = metric_summaries(run.observer2, metrics)
        found["observer2"] = {"images": len(run.observer2), "metrics": entries}
    keys = found.keys() & stated.keys()
    return {key: bare(stated[key]) for key in keys}, {key: bare(found[key]) for key in keys}


def bare(value: Any) -> Any:
    """A summary without the texts that say why a metric has no value: a bundle without names leaves them out."""
    if isinstance(value, Mapping):
        return {key: bare(held) for key, held in value.items() if key != "reasons"}
    return value
