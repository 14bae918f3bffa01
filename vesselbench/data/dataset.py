"""The samples of a recipe: read, checked, divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vesselbench.config import DataConfig
from vesselbench.data.check import Finding, absent_values, look_at
from vesselbench.data.fingerprint import FingerprintLines
from vesselbench.data.read import load_example, read_samples
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
    """Read and split what a recipe names; every sample of every set is decoded once, so that a broken one stops here.

    Raises UserError for all that `read_samples`, `load_example` and `make_split` refuse, and for what `data check`
    calls an error: a sample without annotation, an empty field of view, a foreground value that occurs nowhere.
    """
    samples = read_samples(config, catalogue)
    bare = [sample.id for sample in samples if sample.mask is None]
    if bare:
        raise UserError(
            f"{len(bare)} of {len(samples)} samples have no annotation, the first is {bare[0]!r}",
            "training and scoring need a mask for each; an empty mask is a legal negative",
        )
    split = make_split(samples, config.split, config.format, _decode_once(samples))
    return Dataset(samples, split, Task(targets_of(samples)))


def _decode_once(samples: Sequence[Sample]) -> str:
    """The fingerprint of the samples, each loaded and looked at; UserError names the first that cannot be used."""
    lines = FingerprintLines()
    for sample in samples:
        try:
            example = load_example(sample)
        except UserError as error:
            raise UserError(f"sample {sample.id!r}: {error.message}", error.hint) from None
        _refuse(look_at(example))
        lines.add(sample, example.mask, example.fov)
    _refuse(absent_values(samples))
    return lines.digest()


def _refuse(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.severity == "error":
            raise UserError(f"{finding.where}: {finding.reason}", finding.cure)
