"""What a comparison holds. Made by `compare`, told by `verdict`, drawn by the report; as JSON: docs/comparison.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vesselbench.benchmarking.kept import Matched
from vesselbench.comparing.contender import Contender, mean_of
from vesselbench.comparing.pairing import Pair
from vesselbench.ladder import Ladder
from vesselbench.ledger import Entry
from vesselbench.statistics.several import Friedman, Ranks
from vesselbench.types import ScoreRow, SetName


@dataclass(frozen=True)
class Several:
    """Three or more contenders at once, by the primary metric, over the images on which all have a value."""

    friedman: Friedman
    ranks: Ranks
    """Its rows stand in the order of the contenders."""
    images: int


@dataclass(frozen=True)
class Scorings:
    """How often the test set was scored, and by what."""

    test_set: str | None
    """Its fingerprint; None when no run has an entry."""
    entries: tuple[Entry, ...]
    """Of all scorings on this machine, oldest first, also of runs that are not compared."""
    faults: tuple[str, ...]
    """Sentences on what is broken in the ledger."""
    unrecorded: tuple[str, ...]
    """Folders of the compared runs that have no entry."""

    def told(self) -> str:
        """How often the test set was scored, and what is wrong with its ledger, in a few sentences."""
        broken = "".join(f" Its ledger is broken: {fault}." for fault in self.faults)
        if not self.entries:
            return f"No scoring of this test set is recorded.{broken}"
        weights = len({entry.scoring.weights_sha256 for entry in self.entries})
        times = "once" if len(self.entries) == 1 else f"{len(self.entries)} times"
        of_what = "one model's weights" if weights == 1 else f"{weights} different weights"
        bare = len(self.unrecorded)
        without = f" {bare} of the compared runs {'has' if bare == 1 else 'have'} no entry." if bare else ""
        return f"This test set has been scored {times}, with {of_what}.{without}{broken}"


@dataclass(frozen=True)
class Comparison:
    """Contenders joined by image id. The rows of every run stand in the order of `images`; so does `groups`."""

    set_name: SetName
    primary: str
    margin: float
    """Differences of the primary metric up to this count as equivalence."""
    declared_margin: float | None
    """The one that was fixed before the test set was scored; None when the runs recorded none. Where it is not
    `margin`, that was given after the fact."""
    family: tuple[str, ...]
    """Secondary metrics, judged with Holm's correction."""
    unit: str
    """What is resampled, "singular/plural" (`declared.counted` writes it out)."""
    directions: Mapping[str, str]
    """metric name -> "higher" or "lower", whichever is better."""
    runs: tuple[Contender, ...]
    images: tuple[str, ...]
    groups: tuple[str, ...]
    pairs: tuple[Pair, ...]
    """Every two contenders, in the order in which they were given."""
    several: Several | None
    """Of three or more contenders."""
    observer2: tuple[ScoreRow, ...] | None
    """The second observer's rows, when every run has them."""
    scorings: Scorings | None
    """Of the test set; None for another set."""
    notes: tuple[str, ...]
    ladder: Ladder | None = None
    """What trivial answers and faults of annotation score on the same images, where it was measured."""
    benchmarks: Matched = field(default_factory=Matched)
    """What `vesselbench bench` measured of the same configurations."""

    def ranked(self) -> list[Contender]:
        """Contenders from the best to the worst mean of the primary metric; those without any value last."""
        sign = -1.0 if self.directions[self.primary] == "higher" else 1.0
        means = {run.label: mean_of(run.values(self.primary)) for run in self.runs}

        def place(run: Contender) -> tuple[bool, float]:
            mean = means[run.label]
            return (mean is None, sign * (mean or 0.0))

        return sorted(self.runs, key=place)
