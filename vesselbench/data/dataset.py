"""The samples of a recipe: read, checked, divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vesselbench.config import DataConfig
from vesselbench.data.read import read_samples
from vesselbench.data.split import make_split, select
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Sample, SetName, Split, Task, targets_of


@dataclass(frozen=True)
class Dataset:
    """All samples, and which set each belongs to."""

    samples: Sequence[Sample]
    split: Split
    task: Task

    def of(self, set_name: SetName) -> list[Sample]:
        """The samples of one set."""
        return select(self.samples, self.split, set_name)

    def counts(self) -> dict[str, tuple[int, int]]:
        """(samples, groups) per set."""
        sets = {name: self.of(name) for name in self.split.sets}
        return {name: (len(members), len({sample.group for sample in members})) for name, members in sets.items()}


def load_dataset(config: DataConfig, catalogue: Catalogue) -> Dataset:
    """Read and split what a recipe names; UserError when a sample has no annotation to learn from or score with."""
    samples = read_samples(config, catalogue)
    bare = [sample.id for sample in samples if sample.mask is None]
    if bare:
        raise UserError(
            f"{len(bare)} of {len(samples)} samples have no annotation, the first is {bare[0]!r}",
            "training and scoring need a mask for each; an empty mask is a legal negative",
        )
    split = make_split(samples, config.split, name=config.format)
    return Dataset(samples, split, Task(targets_of(samples)))
