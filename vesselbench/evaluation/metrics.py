"""The built-in metrics: MONAI's functional API on one sample, inside the field of view.

torch and monai are imported when a metric is called: the command line imports this module for every command.
MONAI computes in single precision, so values carry about 7 digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from vesselbench.evaluation.policy import inside
from vesselbench.types import Example, Prediction

if TYPE_CHECKING:
    import torch


class Dice:
    """Dice coefficient 2|P∩R| / (|P|+|R|) of prediction P and reference R, in [0,1] (monai.metrics.compute_dice).

    Both empty: 1. Pixels outside the field of view count for nothing.
    """

    name: str = "dice"
    better: Literal["higher", "lower"] = "higher"
    version: int = 1
    kind: Literal["overlap", "distance", "none"] = "overlap"

    def __call__(self, prediction: Prediction, example: Example) -> float | None:
        """The value of one image; ValueError when the example has no mask or the sizes differ."""
        from monai.metrics import compute_dice

        predicted, reference = _pixels(prediction, example)
        return float(compute_dice(predicted, reference, include_background=True, ignore_empty=False))


class IoU:
    """Intersection over union |P∩R| / |P∪R| (Jaccard index), in [0,1] (monai.metrics.compute_iou).

    Both empty: 1. Pixels outside the field of view count for nothing.
    """

    name: str = "iou"
    better: Literal["higher", "lower"] = "higher"
    version: int = 1
    kind: Literal["overlap", "distance", "none"] = "overlap"

    def __call__(self, prediction: Prediction, example: Example) -> float | None:
        """The value of one image; ValueError when the example has no mask or the sizes differ."""
        from monai.metrics import compute_iou

        predicted, reference = _pixels(prediction, example)
        return float(compute_iou(predicted, reference, include_background=True, ignore_empty=False))


class PixelAccuracy:
    """Share of the pixels in the field of view on which P and R agree, (TP+TN) / N, in [0,1].

    From MONAI's confusion matrix. Background counts as much as vessel: an empty prediction scores about 0.9 and more
    on vessel images, so read it beside Dice, never alone.
    """

    name: str = "pixel_accuracy"
    better: Literal["higher", "lower"] = "higher"
    version: int = 1
    kind: Literal["overlap", "distance", "none"] = "none"

    def __call__(self, prediction: Prediction, example: Example) -> float | None:
        """The value of one image; ValueError when the example has no mask or the sizes differ."""
        from monai.metrics import compute_confusion_matrix_metric, get_confusion_matrix

        predicted, reference = _pixels(prediction, example)
        return float(compute_confusion_matrix_metric("accuracy", get_confusion_matrix(predicted, reference)))


def _pixels(prediction: Prediction, example: Example) -> tuple[torch.Tensor, torch.Tensor]:
    """Thresholded prediction and reference, each uint8 {0,1} [1,1,N,1] with N pixels inside the field of view."""
    import torch

    if example.mask is None:
        raise ValueError(f"sample {example.sample.id!r} has no mask")
    mask = prediction.mask()
    if mask.shape != example.mask.shape:
        raise ValueError(f"prediction {mask.shape} against mask {example.mask.shape} of {example.sample.id!r}")
    pixels = [inside(one, example.fov).astype(np.uint8).reshape(1, 1, -1, 1) for one in (mask, example.mask)]
    if pixels[0].size == 0:
        raise ValueError(f"the field of view of {example.sample.id!r} is empty")
    return torch.from_numpy(pixels[0]), torch.from_numpy(pixels[1])
