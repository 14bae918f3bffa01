"""Whether a form of a model predicts what a run has stored: one image, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from vesselbench.config import Recipe
from vesselbench.data.loader import Collate
from vesselbench.data.masks import mask_sha256
from vesselbench.data.read import load_example
from vesselbench.errors import UserError
from vesselbench.evaluation.predict import Predictor, find_device
from vesselbench.plugins import Catalogue
from vesselbench.reopen import open_dataset
from vesselbench.rundir import RunDir, check_set_name
from vesselbench.types import BoolMask, Example, Prediction, ScoreRow, Scores, SetName

MARGIN = 1e-3
"""A pixel may differ from the stored mask only when its logit is within this of the threshold's."""
MARGIN_BF16 = 2.0**-5
"""The same in bfloat16, in units of the image's largest logit: eight roundings of 2^-8. Weights that are merged are
rounded at other places than weights beside an adapter."""
DIFFERENCE = MARGIN / 4
"""In float32 no probability of the image may differ by more from what the run's own weights give: a logit off by
`MARGIN` moves it by a quarter at most. Merging an adapter cost 6e-8 to 2e-5 (measured on small models)."""


@dataclass(frozen=True)
class Evidence:
    """One prediction that a run has stored: `mask` of `example` at `threshold`, the `number`-th of its set (from 1)."""

    example: Example
    mask: BoolMask
    threshold: float
    set_name: SetName
    number: int

    @property
    def where(self) -> str:
        return f"image {self.number} of the {self.set_name} set"


@dataclass(frozen=True)
class Reproduction:
    """How a form of the model predicted one stored image.

    differing: pixels of the mask, all of them within `margin` (logits) of the threshold; foreground: pixels of the
    stored mask; difference: the largest of any probability from what the run's own weights give now, at most
    `difference_allowed` (None: not limited, in bfloat16).
    """

    form: str
    image: str
    pixels: int
    foreground: int
    differing: int
    margin: float
    difference: float
    difference_allowed: float | None

    def __str__(self) -> str:
        weak = "" if 0 < self.foreground < self.pixels else "; that mask is all one value, a weak check"
        most = "" if self.difference_allowed is None else f", {self.difference_allowed:.1e} at most"
        return (
            f"{self.form}, read again: {self.differing} of {self.pixels} pixels differ from the run's stored mask of"
            f" {self.image} ({self.foreground} foreground{weak}); only those within {self.margin:.2g} of the threshold,"
            f" in logits, may; largest difference of a probability {self.difference:.1e}{most}"
        )


def find_evidence(run: RunDir, recipe: Recipe, catalogue: Catalogue, weights_sha256: str) -> Evidence:
    """A stored prediction of exactly these weights: of the test set, else of the validation set, the mask whose
    foreground is nearest to half of it. Only when both have nothing but empty and full masks it is one of those.

    Raises UserError when there is none, when its file is not what was scored, and when the data have changed.
    """
    sets: tuple[SetName, ...] = ("test", "val")
    scored = [run.scores(name) for name in sets if (run.evaluation(name) / "summary.json").is_file()]
    usable = [scores for scores in scored if scores.weights_sha256 == weights_sha256]
    if not usable:
        raise UserError(
            f"{run.path} has stored no prediction of its best weights, so an export could not be checked",
            f"vesselbench evaluate {run.path} --set val",
        )
    best: tuple[float, Scores, ScoreRow, int, BoolMask] | None = None
    for scores in usable:
        for number, row in enumerate(scores.rows, 1):
            mask = _stored_mask(run, check_set_name(scores.set_name), row.id, row.mask_sha256)
            share = float(mask.mean())
            if best is None or min(share, 1 - share) > best[0]:
                best = min(share, 1 - share), scores, row, number, mask
        if best is not None and best[0] > 0:
            break
    if best is None:
        raise UserError(f"{run.path} has scored sets without an image", f"vesselbench evaluate {run.path} --set val")
    _, scores, row, number, mask = best
    set_name = check_set_name(scores.set_name)
    (sample,) = [sample for sample in open_dataset(run, recipe, catalogue).of(set_name) if sample.id == row.id]
    return Evidence(load_example(sample), mask, scores.threshold, set_name, number)


def _stored_mask(run: RunDir, set_name: SetName, sample_id: str, sha256: str) -> BoolMask:
    path, cure = run.prediction_file(set_name, sample_id), f"vesselbench evaluate {run.path} --set {set_name}"
    try:
        mask = np.asarray(Image.open(path)).astype(bool)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}", cure) from None
    if mask_sha256(mask) != sha256:
        raise UserError(f"{path} is not the mask that was scored: its SHA-256 differs from scores.jsonl", cure)
    return mask


def predict_as_run(
    opened: Callable[[], tuple[torch.nn.Module, Collate]], evidence: Evidence, recipe: Recipe
) -> Prediction:
    """Open a form and predict the image in the arithmetic that the run predicts in; the form is let go afterwards.

    Torch's generator is seeded as for the model's ``build``, so that a base of random weights comes back.
    """
    with torch.random.fork_rng():
        torch.manual_seed(recipe.train.seed)
        module, collate = opened()
    place = find_device("auto")
    (prediction,) = Predictor.of(module, collate, place, recipe)([evidence.example])
    return prediction


def hold_against(
    evidence: Evidence, form: str, prediction: Prediction, own: Prediction, recipe: Recipe
) -> Reproduction:
    """Compare a form's prediction with the stored mask and with `own`, what the run's own weights predict now.

    Raises UserError when a pixel differs that is not at the threshold and, unless the run predicts in bfloat16, when a
    probability differs by more than `DIFFERENCE`.
    """
    exact = recipe.train.precision == "fp32"
    logits = _logit(prediction.probability)
    margin = MARGIN
    if not exact:
        margin = max(MARGIN, MARGIN_BF16 * float(np.abs(logits[np.isfinite(logits)]).max(initial=0)))
    differs = prediction.mask(evidence.threshold) != evidence.mask
    distance = np.abs(logits - _logit(np.asarray(evidence.threshold)))
    wrong = differs & (distance > margin)
    if wrong.any():
        raise UserError(
            f"{form}: the prediction differs from the stored mask of {evidence.where} at {int(wrong.sum())} of"
            f" {wrong.size} pixels that are further than {margin:.2g} from the threshold (at most"
            f" {float(distance[wrong].max()):.2g}, in logits)",
            "was the run scored on this kind of machine, by these versions? vesselbench evaluate scores it again",
        )
    difference = float(np.abs(prediction.probability - own.probability).max())
    if exact and not difference <= DIFFERENCE:
        raise UserError(
            f"{form}: a probability of {evidence.where} differs by {difference:.1e} from what the run's own weights"
            f" give; merging in float32 costs less than {DIFFERENCE:.1e}",
            "part of the training is not in these files: report it, with the settings of the model",
        )
    foreground, allowed = int(evidence.mask.sum()), DIFFERENCE if exact else None
    pixels, differing = wrong.size, int(differs.sum())
    return Reproduction(form, evidence.where, pixels, foreground, differing, margin, difference, allowed)


def _logit(probability: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """log(p / (1 - p)); infinite at 0 and 1, where a float32 sigmoid has saturated."""
    wide = probability.astype(np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(wide) - np.log1p(-wide))
