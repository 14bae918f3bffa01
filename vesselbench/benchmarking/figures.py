"""The figures of one benchmark entry: rounds of seconds and what stands beside them (no torch)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median, quantiles
from typing import Any

from vesselbench.errors import UserError

REFERENCES = ("matmul", "convolution")
"""What is timed beside every round: its highest rate is the peak, its median tells how fast the machine was."""


@dataclass(frozen=True)
class Figures:
    """Rounds of one entry in one process, and how fast the machine computed in the same minutes."""

    what: str
    """Such as "training step" or "prediction"."""
    seconds: tuple[float, ...]
    """Of every round, in order, without the warm-up."""
    warmup: int
    """Rounds before, whose seconds do not count."""
    samples: int
    """Done in one round: samples of a step, images of a prediction."""
    data_wait_share: float
    """Share of the seconds, in [0, 1], that went into reading or waiting for data."""
    peak_memory_bytes: int
    """Most that the process held: the allocator's on CUDA, else the resident set with all libraries."""
    grown_bytes: int
    """The same, less what the process held before the model was built; 0 where memory held before was used again."""
    flops: int
    """Of one round: 2 per multiplication and addition of convolutions, matrix products and attention; nothing else."""
    references: Mapping[str, tuple[float, ...]]
    """name -> FLOP/s of one matrix product and one convolution beside each round, in the entry's own arithmetic."""
    device: str
    dtype: str
    threads: int

    @property
    def median(self) -> float:
        """Seconds of the median round."""
        return median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Seconds of the first and the third quartile, the rounds included (one round: twice itself)."""
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        low, _, high = quantiles(self.seconds, n=4, method="inclusive")
        return low, high

    @property
    def samples_per_second(self) -> float:
        """By the median round."""
        return self.samples / self.median

    @property
    def peaks(self) -> dict[str, float]:
        """name -> highest FLOP/s of the reference in this run."""
        return {name: max(rates) for name, rates in self.references.items()}

    @property
    def utilisation(self) -> dict[str, float] | None:
        """name -> counted FLOP/s of the median round as a share of that peak; None where nothing was counted."""
        if not self.flops:
            return None
        return {name: self.flops / self.median / peak for name, peak in self.peaks.items()}

    def as_json(self) -> dict[str, Any]:
        """The fields, and what follows from them."""
        low, high = self.quartiles
        return {
            **asdict(self),
            "rounds": len(self.seconds),
            "median": self.median,
            "quartiles": [low, high],
            "samples_per_second": self.samples_per_second,
            "peaks": self.peaks,
            "utilisation": self.utilisation,
        }


def read_figures(values: Any, where: object) -> Figures:
    """Figures from `Figures.as_json`; UserError, naming `where`, when a field is missing or of another kind."""
    try:
        found = {field.name: values[field.name] for field in fields(Figures)}
        found["seconds"] = _numbers(found["seconds"])
        found["references"] = {name: _numbers(rates) for name, rates in found["references"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{where} holds no figures of a benchmark: {error!r}", "measure again") from None
    return Figures(**found)


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not numbers or min(numbers) <= 0:
        raise ValueError("seconds and rates are positive, and there is one at least")
    return numbers
