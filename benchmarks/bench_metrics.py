"""Images per second of the default metrics, at the phantom's size and at 1024 x 1024, beside MONAI's own calls."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from vesselbench.data.read import load_example
from vesselbench.evaluation.score import metrics_of, score
from vesselbench.types import Example, Prediction

SIZES = pytest.mark.parametrize("repeat", [1, 8], ids=["128px", "1024px"])


def one_image(dataset, repeat: int) -> tuple[Prediction, Example]:
    """A phantom repeated, and a graded prediction of it that is off by one pixel."""
    example = load_example(dataset.of("test")[0])
    mask, image = np.tile(example.mask, (repeat, repeat)), np.tile(example.image, (repeat, repeat, 1))
    noise = np.random.default_rng(0).normal(0.2, 0.08, mask.shape)
    probability = np.clip(np.roll(mask, 1, axis=0) * 0.6 + noise, 0, 1).astype(np.float32)
    return Prediction(example.sample.id, probability), replace(example, image=image, mask=mask)


@SIZES
def bench_metrics(timed, recipe, dataset, catalogue, repeat):
    metrics = metrics_of(recipe("unet").evaluation, catalogue)
    prediction, example = one_image(dataset, repeat)
    timed(lambda: score(prediction, example, metrics), samples=1, data=0.0, rounds=9)
    timed.note(metrics=[metric.name for metric in metrics], pixels=example.mask.size)


@SIZES
def bench_monai(timed, dataset, repeat):
    """Those of the default metrics that MONAI has: without clDice, Betti numbers and widths."""
    prediction, example = one_image(dataset, repeat)
    probability, mask = torch.from_numpy(prediction.probability), torch.from_numpy(example.mask)
    timed(lambda: monai_calls(probability, probability >= 0.5, mask), samples=1, data=0.0, rounds=9)
    timed.note(pixels=mask.numel())


def monai_calls(probability: torch.Tensor, predicted: torch.Tensor, mask: torch.Tensor) -> None:
    """Dice, IoU, four of the confusion matrix, HD95, NSD and AUC of one image [H,W]."""
    from monai import metrics

    a, b = predicted[None, None], mask[None, None]
    metrics.compute_dice(a, b, ignore_empty=False)
    metrics.compute_iou(a, b, ignore_empty=False)
    matrix = metrics.get_confusion_matrix(a.int(), b.int())
    for name in ("precision", "sensitivity", "specificity", "accuracy"):
        metrics.compute_confusion_matrix_metric(name, matrix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI 1.6.1 calls itself with an argument that it deprecates
        metrics.compute_hausdorff_distance(a, b, include_background=True, percentile=95)
        metrics.compute_surface_dice(a, b, [2.0], include_background=True)
    metrics.compute_roc_auc(probability.reshape(-1), mask.reshape(-1).int())
