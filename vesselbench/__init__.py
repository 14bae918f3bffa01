"""vesselbench: an honest, plugin-extensible benchmark for medical vessel segmentation."""

from vesselbench.errors import UserError
from vesselbench.hookspecs import hookimpl
from vesselbench.types import Batch, Example, Prediction, Sample, Task

__all__ = ["Batch", "Example", "Prediction", "Sample", "Task", "UserError", "hookimpl"]
