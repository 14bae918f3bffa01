"""The ladder: what trivial answers, classical filters and small faults of annotation score on the compared set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vesselbench.errors import UserError

TOP, SHIFTED = "reference", "shifted"


@dataclass(frozen=True)
class Rung:
    """One way to answer, scored as a model is, without probabilities."""

    name: str
    definition: str
    """A sentence that says exactly what was done, with what was chosen on the validation set."""
    metrics: Mapping[str, Mapping[str, Any]]
    """metric -> its entry as in summary.json: mean, median, count, none, ..."""
    cases: Mapping[str, int]
    """Images per case of the empty-mask policy."""

    def mean(self, metric: str) -> float | None:
        """Mean over images; None without any value."""
        mean: float | None = self.metrics[metric]["mean"]
        return mean


@dataclass(frozen=True)
class Ladder:
    """The rungs in the order in which they are shown; no ids, groups or file names."""

    rungs: tuple[Rung, ...]

    def rung(self, name: str) -> Rung:
        """The rung of that name; KeyError without one."""
        return {rung.name: rung for rung in self.rungs}[name]

    def noise_floor(self, metric: str) -> float | None:
        """What one pixel of annotation costs: the mean of the reference itself against that of the reference shifted by
        one pixel, as a difference without sign; None where either has no value.

        A difference of two models below it is smaller than the annotation is certain.
        """
        top, shifted = self.rung(TOP).mean(metric), self.rung(SHIFTED).mean(metric)
        return None if top is None or shifted is None else abs(top - shifted)


def ladder_record(ladder: Ladder) -> dict[str, Any]:
    """As comparison.json holds it: `rungs`, and `noise_floor` of every metric."""
    metrics = list(ladder.rungs[0].metrics)
    return {
        "rungs": [asdict(rung) for rung in ladder.rungs],
        "noise_floor": {metric: ladder.noise_floor(metric) for metric in metrics},
    }


def read_ladder(record: Any, where: object) -> Ladder:
    """The ladder of `ladder_record`; UserError when a key is not right."""
    try:
        ladder = Ladder(tuple(Rung(**rung) for rung in record["rungs"]))
        ladder_record(ladder)  # reads every mean that a report needs
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{where} is not a ladder: {error!r}", "remove it; it is measured again") from None
    return ladder
