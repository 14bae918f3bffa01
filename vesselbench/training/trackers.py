"""Trackers named in the recipe. None starts because it is installed: the data are medical."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from vesselbench.errors import UserError
from vesselbench.hookspecs import Tracker
from vesselbench.plugins import Catalogue
from vesselbench.types import Scores

PROJECT = "vesselbench"
"""Project (or experiment) under which runs are filed."""
TAG = "vesselbench.run"
"""Tag by which a run is found again."""


def load(package: str, tracker: str, pip: str) -> Any:
    """A tracker's own package; UserError with the line that installs it when it is absent."""
    try:
        return import_module(package)
    except ImportError:
        raise UserError(
            f"the tracker {tracker!r} needs the package {pip.split('[')[0]}", f"pip install {pip}"
        ) from None


class TensorBoard:
    """Writes the log as TensorBoard events below the run's folder."""

    name = "tensorboard"

    def __init__(self) -> None:
        self._writer: Any = None
        self._make: Callable[..., Any]

    def start(self, run: Path) -> None:
        load("tensorboard", self.name, "tensorboard")
        self._make = partial(
            load("torch.utils.tensorboard", self.name, "tensorboard").SummaryWriter, str(run / "tensorboard")
        )
        self._writer = self._make()

    def resume(self, step: int) -> None:
        """TensorBoard drops what it has of later steps: they come again."""
        self._writer.close()
        self._writer = self._make(purge_step=step + 1, filename_suffix=f".resumed-{step}")

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self, scores: Scores | None) -> None:
        del scores  # their means were logged at their step
        self._writer.close()


class MLflow:
    """Writes the log to MLflow: into the run's folder ``mlruns``, or where ``MLFLOW_TRACKING_URI`` says.

    A training that goes on adds to its own run there, which it finds by a tag.
    """

    name = "mlflow"

    def __init__(self) -> None:
        self._module: Any = None
        self._client: Any = None
        self._run = ""

    def start(self, run: Path) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would call home
        self._module = load("mlflow", self.name, "mlflow-skinny")
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = (run.absolute() / "mlruns").as_uri()
        self._client = self._module.MlflowClient(tracking_uri=uri)
        known = self._client.get_experiment_by_name(PROJECT)
        experiment = self._client.create_experiment(PROJECT) if known is None else known.experiment_id
        label = _label(run)
        own = self._client.search_runs([experiment], f"tags.`{TAG}` = '{label}'", max_results=1)
        if own:
            self._run = own[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
        else:
            self._run = self._client.create_run(experiment, run_name=label, tags={TAG: label}).info.run_id

    def log(self, step: int, values: dict[str, float]) -> None:
        now = int(1000 * time.time())
        entry = self._module.entities.Metric
        self._client.log_batch(self._run, [entry(name, value, now, step) for name, value in values.items()])

    def finish(self, scores: Scores | None) -> None:
        del scores
        self._client.set_terminated(self._run)


class WandB:
    """Writes the log to Weights & Biases: into the run's folder, offline, unless ``WANDB_MODE`` says ``online``.

    Neither the console's text, nor the command line, the code and the machine's description go with it. A training that
    goes on adds to its own run: the id follows from the run's folder.
    """

    name = "wandb"

    def __init__(self) -> None:
        self._run: Any = None

    def start(self, run: Path) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        module = load("wandb", self.name, "wandb")
        settings = module.Settings(
            console="off",
            disable_code=True,
            disable_git=True,
            host="withheld",
            save_code=False,
            silent=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        mode = os.environ.get("WANDB_MODE", "offline")
        label = _label(run)
        named = {"project": PROJECT, "name": label, "id": label.replace("/", "-"), "resume": "allow"}
        self._run = module.init(**named, dir=str(run), mode=mode, settings=settings)

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def finish(self, scores: Scores | None) -> None:
        del scores
        self._run.finish()


def _label(run: Path) -> str:
    return f"{run.parent.name}/{run.name}"


class Trackers:
    """The trackers that a recipe names, as one; on ranks other than 0 there are none."""

    def __init__(self, names: Sequence[str], run: Path, catalogue: Catalogue, enabled: bool) -> None:
        self._trackers: list[Tracker] = [catalogue.trackers[name]() for name in names] if enabled else []
        self._run = run
        self.scores: Scores | None = None

    def __enter__(self) -> Trackers:
        from vesselbench.distributed import on_first  # torch: not for those who only list trackers

        on_first(self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._trackers:
            tracker.finish(self.scores)

    def _start(self) -> None:
        for tracker in self._trackers:
            tracker.start(self._run)

    def resume(self, step: int) -> None:
        """The training goes on after `step`: for trackers that add to what they have."""
        for tracker in self._trackers:
            if hasattr(tracker, "resume"):
                tracker.resume(step)

    def log(self, step: int, values: dict[str, float]) -> None:
        for tracker in self._trackers:
            tracker.log(step, values)
