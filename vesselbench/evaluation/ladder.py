"""The rungs of the ladder, drawn and scored on a test set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from vesselbench.config import EvalConfig
from vesselbench.data.cache import MaskCache, load_with
from vesselbench.data.limits.ceiling import evenly
from vesselbench.data.limits.widths import centre_line, line_widths
from vesselbench.evaluation.classical import Segmenter, choose_frangi, choose_otsu
from vesselbench.evaluation.pair import Reference
from vesselbench.evaluation.policy import CASES
from vesselbench.evaluation.pool import map_in_order
from vesselbench.evaluation.score import metrics_of, reference_of, score_against
from vesselbench.evaluation.summary import metric_summaries
from vesselbench.ladder import SHIFTED, TOP, Ladder, Rung
from vesselbench.plugins import Catalogue
from vesselbench.types import BoolMask, Example, Prediction, Sample, ScoreRow

VERSION = 1
"""Raise it with every change of what a rung draws: stored ladders are measured anew."""
LOOKED_AT = 4
"""Images of the validation set on which the filters are set."""
GAP_EVERY, GAP_BEYOND = 100, 2.0
"""Pixels of centre line per gap; what a gap's radius exceeds half the vessel's width by, in pixels."""
NAMED = (SHIFTED, "broken")
"""Rungs that a hash of the image's id draws: under another id they are others."""
FILTERS = ("otsu", "frangi")
"""Rungs that look at the image."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Drawn:
    """A rung to be scored: its mask bool [H,W] of an example and of that example's reference."""

    name: str
    definition: str
    mask: Callable[[Example, BoolMask], BoolMask]


def measure_ladder(
    test: Sequence[Sample],
    validation: Sequence[Sample],
    config: EvalConfig,
    catalogue: Catalogue,
    *,
    cache: MaskCache | None = None,
    progress: Progress | None = None,
) -> Ladder:
    """Score every rung on the test samples with the recipe's metrics; the filters are set on validation samples.

    `progress` is told (images scored, images). Raises UserError for a sample that cannot be read or scored.
    """
    metrics = metrics_of(config, catalogue)
    chosen = [load_with(cache, sample) for sample in evenly(validation, LOOKED_AT)]
    rungs = [*plain_rungs(), *_filters(chosen)]

    def score_all(sample: Sample) -> list[ScoreRow]:
        example = load_with(cache, sample)
        reference, mask = Reference(example, config.options), reference_of(example)
        predictions = (as_prediction(sample.id, rung.mask(example, mask)) for rung in rungs)
        return [score_against(reference, prediction, metrics) for prediction in predictions]

    by_image = []
    for number, rows in enumerate(map_in_order(score_all, test), 1):
        by_image.append(rows)
        if progress is not None:
            progress(number, len(test))
    return Ladder(
        tuple(
            Rung(rung.name, rung.definition, metric_summaries(rows, metrics), cases_of(rows))
            for rung, rows in zip(rungs, zip(*by_image, strict=True), strict=True)
        )
    )


def ladder_key(
    fingerprint: str, test: Sequence[str], validation: Sequence[str], config: EvalConfig, catalogue: Catalogue
) -> str:
    """SHA-256 (hexadecimal) of all that a ladder depends on: data, sets, metrics, options and versions."""
    versions = [(metric.name, metric.version) for metric in metrics_of(config, catalogue)]
    parts = (
        VERSION,
        fingerprint,
        sorted(test),
        list(validation),
        versions,
        config.options.model_dump_json(),
        version("scikit-image"),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def plain_rungs() -> list[Drawn]:
    """Those that look at no image."""
    return [
        Drawn("empty", "Nothing is predicted.", lambda e, _: np.zeros(e.size, np.bool_)),
        Drawn("all_foreground", "Every pixel is predicted.", lambda e, _: np.ones(e.size, np.bool_)),
        Drawn(TOP, "The reference itself.", lambda _, mask: mask),
        Drawn(
            SHIFTED,
            "The reference moved by one pixel, up, down, left or right by a hash of the image's id.",
            lambda e, mask: shifted(mask, _seed(e.sample.id) % 4),
        ),
        Drawn("dilated", "The reference and every pixel beside it (four neighbours).", lambda _, mask: dilated(mask)),
        Drawn("eroded", "The reference without the pixels of its boundary (four neighbours).", lambda _, m: eroded(m)),
        Drawn(
            "broken",
            f"The reference with one gap per {GAP_EVERY} px of centre line, where a hash of the image's id puts it: a "
            f"disc whose radius is half the vessel's width and {GAP_BEYOND:g} px.",
            lambda e, mask: broken(mask, _seed(e.sample.id)),
        ),
    ]


def shifted(mask: BoolMask, direction: int) -> BoolMask:
    """The mask moved by one pixel: 0 down, 1 up, 2 right, 3 left; what enters from outside is background."""
    moved = np.zeros_like(mask)
    axis, back = divmod(direction, 2)
    there, here = (slice(None, -1), slice(1, None)) if back else (slice(1, None), slice(None, -1))
    if axis == 0:
        moved[there] = mask[here]
    else:
        moved[:, there] = mask[:, here]
    return moved


def dilated(mask: BoolMask) -> BoolMask:
    """The mask and its four neighbours."""
    from scipy.ndimage import binary_dilation

    grown: BoolMask = binary_dilation(mask)
    return grown


def eroded(mask: BoolMask) -> BoolMask:
    """The pixels whose four neighbours are in the mask; outside the image nothing is missing."""
    from scipy.ndimage import binary_erosion

    thinned: BoolMask = binary_erosion(mask, border_value=1)
    return thinned


def broken(mask: BoolMask, seed: int) -> BoolMask:
    """The mask with gaps; the same for the same seed."""
    line = centre_line(mask)
    places = np.argwhere(line)
    if not len(places):
        return mask.copy()
    widths = line_widths(mask, line)
    cut = mask.copy()
    number = max(1, len(places) // GAP_EVERY)
    for chosen in np.random.default_rng(seed).choice(len(places), number, replace=False):
        _erase(cut, places[chosen], widths[chosen] / 2 + GAP_BEYOND)
    return cut


def _erase(mask: BoolMask, centre: Sequence[int], radius: float) -> None:
    reach = int(np.ceil(radius))
    top, left = (max(0, int(place) - reach) for place in centre)
    part = mask[top : int(centre[0]) + reach + 1, left : int(centre[1]) + reach + 1]
    rows, columns = np.ogrid[: part.shape[0], : part.shape[1]]
    part[(rows + top - centre[0]) ** 2 + (columns + left - centre[1]) ** 2 <= radius**2] = False


def _filters(examples: Sequence[Example]) -> list[Drawn]:
    """Otsu and Frangi, set on the examples."""
    where = f" Set on {len(examples)} images of the validation set by mean Dice."
    chosen: list[Segmenter] = [choose_otsu(examples), choose_frangi(examples)]
    return [filter_rung(name, one.words + where, one) for name, one in zip(FILTERS, chosen, strict=True)]


def filter_rung(name: str, definition: str, one: Segmenter) -> Drawn:
    """The rung of a filter, which looks at the image alone."""
    return Drawn(name, definition, lambda example, _: one.mask(example))


def as_prediction(name: str, mask: BoolMask) -> Prediction:
    """A rung's mask bool [H,W], to be scored without probabilities."""
    return Prediction(name, mask.astype(np.float32), graded=False)


def cases_of(rows: Sequence[ScoreRow]) -> dict[str, int]:
    """Images per case of the empty-mask policy."""
    found = Counter(row.case for row in rows)
    return {case: found[case] for case in CASES}


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
