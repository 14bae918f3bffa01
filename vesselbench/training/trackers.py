"""Trackers named in the recipe. None starts because it is installed: the data are medical."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from vesselbench.errors import UserError
from vesselbench.hookspecs import Tracker
from vesselbench.plugins import Catalogue
from vesselbench.types import Scores


class TensorBoard:
    """Writes the log as TensorBoard events below the run's folder (``pip install tensorboard``)."""

    name = "tensorboard"

    def __init__(self) -> None:
        self._writer: Any = None

    def start(self, run: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError(
                "the tracker 'tensorboard' needs the package tensorboard", "pip install tensorboard"
            ) from None
        self._writer = SummaryWriter(str(run / "tensorboard"))

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self, scores: Scores | None) -> None:
        if scores is not None:
            for name in scores.metric_versions:
                mean = scores.mean(name)
                if mean is not None:
                    self._writer.add_scalar(f"{scores.set_name}/{name}", mean)
        self._writer.close()


class Trackers:
    """The trackers that a recipe names, as one; on ranks other than 0 there are none."""

    def __init__(self, names: Sequence[str], run: Path, catalogue: Catalogue, enabled: bool) -> None:
        self._trackers: list[Tracker] = [catalogue.trackers[name]() for name in names] if enabled else []
        self._run = run
        self.scores: Scores | None = None

    def __enter__(self) -> Trackers:
        for tracker in self._trackers:
            tracker.start(self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for tracker in self._trackers:
            tracker.finish(self.scores)

    def log(self, step: int, values: dict[str, float]) -> None:
        for tracker in self._trackers:
            tracker.log(step, values)
