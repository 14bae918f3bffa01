"""The built-in formats, metrics and trackers: registered through the same hooks as everybody else's.

Each hook imports what it registers when it is called: `vesselbench --help` calls none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vesselbench.hookspecs import hookimpl

if TYPE_CHECKING:
    from vesselbench.hookspecs import DatasetFormat, Metric, Tracker


@hookimpl
def register_datasets(register: Callable[[DatasetFormat], None]) -> None:
    from vesselbench.data.formats.arcade import Arcade
    from vesselbench.data.formats.coco import Coco
    from vesselbench.data.formats.labelme import LabelMe
    from vesselbench.data.formats.pairs import Pairs
    from vesselbench.data.formats.sa2va import Sa2VAAnnotations
    from vesselbench.data.formats.slices import Slices
    from vesselbench.data.synthetic.phantom import Phantom

    for dataset in (Phantom(), Pairs(), Coco(), Sa2VAAnnotations(), LabelMe(), Arcade(), Slices()):
        register(dataset)


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    from vesselbench.evaluation import boundaries, by_width, metrics, probability, topology

    for metric in (
        *(metrics.Dice(), metrics.IoU(), metrics.Precision(), metrics.Sensitivity(), metrics.Specificity()),
        *(metrics.PixelAccuracy(), probability.Auc(), probability.CalibrationError()),
        *(topology.ClDice(), topology.TopologyPrecision(), topology.TopologySensitivity()),
        *(boundaries.Hausdorff95(), boundaries.SurfaceDice(), topology.Betti0Error(), topology.Betti1Error()),
        *(by_width.RecallByWidth(), by_width.PrecisionByWidth(), by_width.ClDiceByWidth()),
    ):
        register(metric)


@hookimpl
def register_trackers(register: Callable[[type[Tracker]], None]) -> None:
    from vesselbench.training.trackers import MLflow, TensorBoard, WandB

    for tracker in (TensorBoard, MLflow, WandB):
        register(tracker)
