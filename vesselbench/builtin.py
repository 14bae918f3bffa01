"""The built-in formats, metrics and trackers: registered through the same hooks as everybody else's."""

from __future__ import annotations

from collections.abc import Callable

from vesselbench.data.formats.coco import Coco
from vesselbench.data.formats.labelme import LabelMe
from vesselbench.data.formats.pairs import Pairs
from vesselbench.data.formats.sa2va import Sa2VAAnnotations
from vesselbench.data.phantom import Phantom
from vesselbench.evaluation.metrics import Dice, IoU, PixelAccuracy
from vesselbench.hookspecs import DatasetFormat, Metric, Tracker, hookimpl
from vesselbench.training.trackers import TensorBoard


@hookimpl
def register_datasets(register: Callable[[DatasetFormat], None]) -> None:
    for dataset in (Phantom(), Pairs(), Coco(), Sa2VAAnnotations(), LabelMe()):
        register(dataset)


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    for metric in (Dice(), IoU(), PixelAccuracy()):
        register(metric)


@hookimpl
def register_trackers(register: Callable[[type[Tracker]], None]) -> None:
    register(TensorBoard)
