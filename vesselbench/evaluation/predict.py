"""From Examples to Predictions: the function that every evaluation is given, and the one for a finished run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from vesselbench.allocator import keep_freed_pages
from vesselbench.config import Recipe
from vesselbench.data.loader import Collate, make_batch
from vesselbench.errors import UserError
from vesselbench.model import Output, SegmentationModule, batch_to, build_model, load_trained
from vesselbench.plugins import Catalogue
from vesselbench.precision import Arithmetic, arithmetic_of, casting, weight_type
from vesselbench.recipes import model_settings, read_yaml, validate_recipe
from vesselbench.rundir import RunDir, file_sha256
from vesselbench.types import Batch, Example, Prediction, Task

Predict = Callable[[list[Example]], list[Prediction]]
"""One Prediction per Example, in the same order.

Where it, or the object whose method it is, has an attribute `device`, the summary names that.
"""


def to_predictions(batch: Batch, outputs: Sequence[Output]) -> list[Prediction]:
    """The model's probability maps [H,W], any device and float type, as Predictions (float32, CPU), with the text and
    status of those that come as (map, text, status).

    Raises ValueError, naming the samples, when there are too few or too many maps or one is of another size.
    """
    if len(outputs) != len(batch.ids):
        raise ValueError(f"the model returned {len(outputs)} predictions for {len(batch.ids)} samples {batch.ids}")
    predictions = []
    for name, size, output in zip(batch.ids, batch.sizes, outputs, strict=True):
        probability, text, status = output if isinstance(output, tuple) else (output, None, "ok")
        if tuple(probability.shape) != tuple(size):
            shape = tuple(probability.shape)
            raise ValueError(f"the prediction of {name!r} is of size {shape}, the image of {tuple(size)}")
        pixels = probability.detach().to("cpu", torch.float32).contiguous().numpy()
        predictions.append(Prediction(name, pixels, text, status))
    return predictions


@dataclass(frozen=True)
class Predictor:
    """A trained model in plain torch: a `Predict` that knows its device and the hash of its weights."""

    module: torch.nn.Module
    collate: Collate
    device: torch.device
    arithmetic: Arithmetic
    weights_sha256: str

    @classmethod
    def of(
        cls, module: torch.nn.Module, collate: Collate, device: torch.device, recipe: Recipe, weights_sha256: str = ""
    ) -> Predictor:
        """The module on `device`, in the arithmetic that the recipe trains it in."""
        arithmetic = arithmetic_of(module, recipe.train.precision)
        module.to(device, weight_type(arithmetic)).eval()
        if device.type == "cpu":
            keep_freed_pages()
        return cls(module, collate, device, arithmetic, weights_sha256)

    def __call__(self, examples: list[Example]) -> list[Prediction]:
        """Predict some examples in one forward pass, without gradients (errors as `to_predictions`)."""
        batch = batch_to(make_batch(examples, self.collate), self.device, weight_type(self.arithmetic))
        with torch.inference_mode(), casting(self.arithmetic, self.device):
            outputs = cast(SegmentationModule, self.module).predict(batch)
        return to_predictions(batch, outputs)


def load_predictor(run: RunDir, catalogue: Catalogue, device: str = "auto") -> Predictor:
    """The best weights of a run, ready to predict on any device and without DeepSpeed.

    `device` is auto (cuda where there is one) or a torch device. The arithmetic is the one it was trained in
    (``train.precision``). Raises UserError for a run without recipe, task or weights, for weights that do not fit, and
    for a device that is not there.
    """
    recipe = _recipe(run, catalogue)
    task = task_of(run.record(), run.record_file)
    weights = run.weights()
    place = find_device(device)
    plugin, config = model_settings(recipe, catalogue)
    module = build_model(recipe, task, catalogue)
    load_trained(module, weights)
    return Predictor.of(module, plugin.collator(config, task), place, recipe, file_sha256(weights))


def find_device(name: str) -> torch.device:
    """The torch device of that name; auto: cuda where there is one. UserError when it is unknown or absent."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"no device named {name!r}", "known: auto, cpu, cuda, cuda:1, ...") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"the device {name!r} is not there", f"CUDA devices: {torch.cuda.device_count()}; try cpu")
    return device


def _recipe(run: RunDir, catalogue: Catalogue) -> Recipe:
    if not run.config.is_file():
        raise UserError(f"{run.config} does not exist", "the run is not complete; train it again")
    return validate_recipe(read_yaml(run.config), catalogue)


def task_of(record: Mapping[str, Any], where: Path) -> Task:
    """The task that a record, read from the file `where`, states; UserError when it states none."""
    task = record.get("task")
    if not isinstance(task, dict) or not {"targets", "channels"} <= task.keys():
        raise UserError(f"{where} states no task (targets, channels)", "it is not complete: train, or export, again")
    return Task(tuple(task["targets"]), int(task["channels"]))
