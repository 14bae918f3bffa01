"""The samples of a recipe: read, checked, divided."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from vesselbench.config import DataConfig
from vesselbench.data.cache import MaskCache, load_with, open_cache
from vesselbench.data.checking.check import absent_values, look_at
from vesselbench.data.findings import Finding
from vesselbench.data.fingerprint import FingerprintLines, fraction_of
from vesselbench.data.read import read_samples
from vesselbench.data.splitting.leaks import Leak, Look, find_leaks, look_at_image, refuse_found, summarise_leaks
from vesselbench.data.splitting.split import make_split, select
from vesselbench.errors import UserError
from vesselbench.plugins import Catalogue
from vesselbench.types import Sample, SetName, Split, Task, targets_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """All samples, and which set each belongs to. `leaks`: what stands in two sets, where the recipe allows it."""

    samples: Sequence[Sample]
    split: Split
    task: Task
    leaks: tuple[Leak, ...] = ()
    fractions: Mapping[str, float] = field(default_factory=dict)
    """Share of vessel in each sample's field of view, by id."""
    test_set: str = ""
    """Fingerprint of the test set alone: ids, image bytes and masks."""

    def of(self, set_name: SetName) -> list[Sample]:
        """The samples of one set."""
        return select(self.samples, self.split, set_name)

    def counts(self) -> dict[str, tuple[int, int]]:
        """(samples, groups) per set."""
        sets = {name: self.of(name) for name in self.split.sets}
        return {name: (len(members), len({sample.group for sample in members})) for name, members in sets.items()}

    def prompts(self) -> dict[str, list[str]]:
        """Target -> the phrases that stand for it, sorted."""
        phrases: dict[str, set[str]] = {}
        for sample in self.samples:
            phrases.setdefault(sample.target, set()).add(sample.prompt)
        return {target: sorted(found) for target, found in sorted(phrases.items())}

    def described(self) -> list[str]:
        """One line per set: samples, groups and the mean share of vessel."""
        lines = []
        for name, ids in self.split.sets.items():
            groups = len({sample.group for sample in self.of(name)})
            known = [self.fractions[sample_id] for sample_id in ids if sample_id in self.fractions]
            vessel = f", {fmean(known):.2%} of the pixels are vessel" if known else ""
            lines.append(f"{name}: {len(ids)} samples of {groups} groups{vessel}")
        return lines

    def leak_lines(self) -> list[str]:
        """One line per kind of leak, without names: what every record and report of this data set must show."""
        return summarise_leaks(self.leaks)


@dataclass
class _Seen:
    """What one pass over the decoded samples leaves behind."""

    lines: FingerprintLines = field(default_factory=FingerprintLines)
    fractions: dict[str, float] = field(default_factory=dict)
    looks: dict[Path, Look] = field(default_factory=dict)


def load_dataset(config: DataConfig, catalogue: Catalogue) -> Dataset:
    """Read and split what a recipe names; every sample of every set is decoded once, so that a broken one stops here.

    Raises UserError for all that `read_samples`, `load_example` and `make_split` refuse, for what `data check` calls an
    error (a sample without annotation, an empty field of view, a foreground value that occurs nowhere), and for leaks
    (see `leaks.find_leaks`) unless ``config.allow_leak``, which logs them.
    """
    samples = read_samples(config, catalogue)
    bare = [sample.id for sample in samples if sample.mask is None]
    if bare:
        raise UserError(
            f"{len(bare)} of {len(samples)} samples have no annotation, the first is {bare[0]!r}",
            "training and scoring need a mask for each; an empty mask is a legal negative",
        )
    seen = _decode_once(samples, open_cache(config))
    split = make_split(
        samples,
        config.split,
        config.format,
        seen.lines.digest(),
        fractions=seen.fractions,
        allow_leak=config.allow_leak,
    )
    leaks = find_leaks(samples, split, seen.looks)
    if not config.allow_leak:
        refuse_found(leaks)
    for line in summarise_leaks(leaks):
        log.warning("data.allow_leak: %s; every report of this run will say so", line)
    test_set = seen.lines.digest_of(split.sets["test"])
    return Dataset(samples, split, Task(targets_of(samples)), tuple(leaks), seen.fractions, test_set)


def _decode_once(samples: Sequence[Sample], cache: MaskCache | None) -> _Seen:
    """Load and look at each sample; UserError names the first that cannot be used."""
    seen = _Seen()
    for sample in samples:
        try:
            example = load_with(cache, sample)
        except UserError as error:
            raise UserError(f"sample {sample.id!r}: {error.message}", error.hint) from None
        _refuse(look_at(example))
        seen.lines.add(sample, example.mask, example.fov)
        seen.fractions[sample.id] = fraction_of(example.mask, example.fov)
        if sample.image not in seen.looks:
            seen.looks[sample.image] = look_at_image(example.image, seen.lines.image_sha256(sample.image))
    _refuse(absent_values(samples))
    return seen


def _refuse(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.severity == "error":
            raise UserError(f"{finding.where}: {finding.reason}", finding.cure)
