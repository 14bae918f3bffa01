"""How far a training is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from vesselbench.training.state import State


@dataclass
class Progress:
    """Counts of a training, over all its processes one after the other. A `Stateful`."""

    step: int = 0
    """Optimizer steps done."""
    samples: int = 0
    """Samples (or images, as ``train.batch_size`` counts) that they used, over all ranks."""
    validated_step: int = 0
    """Newest step whose validation is complete."""
    best_score: float | None = None
    best_step: int | None = None
    validations: int = 0
    """Validations done after a step."""
    waited: int = 0
    """Validations since the best one."""
    seconds_before: float = 0.0
    """Wall time of the processes before this one, up to the checkpoint that was resumed."""
    _started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Wall time of the training so far, interruptions left out."""
        return self.seconds_before + time.perf_counter() - self._started

    def state(self) -> State:
        values = {name: getattr(self, name) for name in STORED}
        return State({**values, "seconds": self.seconds})

    def restore(self, state: State) -> None:
        for name in STORED:
            setattr(self, name, state.values[name])
        self.seconds_before, self._started = float(state.values["seconds"]), time.perf_counter()


STORED = ("step", "samples", "validated_step", "best_score", "best_step", "validations", "waited")
