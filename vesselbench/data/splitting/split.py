"""Division into train, val and test by whole groups (patients)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from vesselbench.config import SplitConfig
from vesselbench.data.fingerprint import fingerprint, vessel_fraction
from vesselbench.data.splitting.columns import Row, SampleIndex, read_rows
from vesselbench.data.splitting.deal import deal, nested
from vesselbench.errors import UserError
from vesselbench.rundir import read_split
from vesselbench.types import SET_NAMES, Sample, SetName, Split

_SHOWN = 5
KEYS = ("id", "file", "group")
LEFT_OUT = "none"
"""What the column `set` says of a sample that belongs to no set."""


def make_split(
    samples: Sequence[Sample],
    config: SplitConfig,
    name: str,
    data: str | None = None,
    *,
    fractions: Mapping[str, float] | None = None,
    allow_leak: bool = False,
) -> Split:
    """Deal the groups out to the three sets (see `deal.deal`), or read ``config.file`` and check that it fits.

    ``config.subset`` then keeps a share of the training groups; the others are in no set. The ids of a set are sorted.
    `data` is the samples' fingerprint and `fractions` the vessel fraction by sample id, where they are known already;
    else masks are decoded. Raises UserError for unknown names, a set without groups, a sample in two sets, a group in
    two sets (unless `allow_leak`), and a split.json that was made from other data.
    """
    found = fingerprint(samples) if data is None else data
    if config.file is None:
        split = Split(name, config.seed, _dealt(samples, config, fractions), found)
    elif config.file.suffix.lower() == ".csv":
        split = Split(name, config.seed, _sets_of_rows(samples, config.file), found)
    else:
        split = read_split(config.file)
    if config.file is not None:
        _check_file(samples, split, config.file, found, allow_leak)
    return split if config.subset == 1 else _with_subset(samples, split, config)


def select(samples: Sequence[Sample], split: Split, set_name: SetName) -> list[Sample]:
    """The samples of one set, in the split's order; UserError when one of them is not among `samples`."""
    by_id = {sample.id: sample for sample in samples}
    _refuse_unknown(by_id, split.sets.get(set_name, ()), f"the {set_name} set of split {split.name!r}")
    return [by_id[sample_id] for sample_id in split.sets.get(set_name, ())]


def refuse_doubles(split: Split) -> None:
    """Raise UserError when a sample stands twice in the split."""
    seen: dict[str, SetName] = {}
    for set_name, ids in split.sets.items():
        for sample_id in ids:
            if sample_id in seen:
                raise UserError(
                    f"split {split.name!r}: {sample_id!r} stands in {seen[sample_id]} and in {set_name}", "keep one"
                )
            seen[sample_id] = set_name


def refuse_leaks(samples: Sequence[Sample], split: Split) -> None:
    """Raise UserError when a sample stands twice in the split or a group stands in two of its sets."""
    refuse_doubles(split)
    by_id = {sample.id: sample for sample in samples}
    sides: dict[str, SetName] = {}
    for set_name, ids in split.sets.items():
        for sample_id in ids:
            group = by_id[sample_id].group
            if sides.setdefault(group, set_name) != set_name:
                raise UserError(
                    f"split {split.name!r}: group {group!r} stands in {sides[group]} and in {set_name}",
                    "put all samples of a patient into one set, or set data.allow_leak=true, which every report shows",
                )


def _dealt(
    samples: Sequence[Sample], config: SplitConfig, fractions: Mapping[str, float] | None
) -> dict[SetName, tuple[str, ...]]:
    by_group = None
    if config.stratify:
        known = fractions or {sample.id: vessel_fraction(sample) for sample in samples}
        members: dict[str, list[float]] = {}
        for sample in samples:
            members.setdefault(sample.group, []).append(known[sample.id])
        by_group = {group: fmean(values) for group, values in members.items()}
    groups = deal(sorted({sample.group for sample in samples}), config, by_group)
    side = {group: set_name for set_name, members_ in groups.items() for group in members_}
    return {
        set_name: tuple(sorted(sample.id for sample in samples if side[sample.group] == set_name))
        for set_name in SET_NAMES
    }


def _with_subset(samples: Sequence[Sample], split: Split, config: SplitConfig) -> Split:
    group_of = {sample.id: sample.group for sample in samples}
    train = split.sets["train"]
    kept = set(nested([group_of[sample_id] for sample_id in train], config.subset, config.seed))
    return replace(split, sets={**split.sets, "train": tuple(i for i in train if group_of[i] in kept)})


def _sets_of_rows(samples: Sequence[Sample], path: Path) -> dict[SetName, tuple[str, ...]]:
    """The sets that the rows of a CSV file name; every sample needs a row, of the set `none` when it is left out."""
    lines: dict[str, int] = {}
    sets: dict[SetName, list[str]] = {set_name: [] for set_name in SET_NAMES}
    index = SampleIndex(samples)
    for row in read_rows(path, "set", KEYS):
        set_name = _set_of(row, path)
        for sample in index.find(row, KEYS, path):
            if sample.id in lines:
                raise UserError(
                    f"{path}: sample {sample.id!r} is named in line {lines[sample.id]} and in line {row.line}",
                    "keep one of them",
                )
            lines[sample.id] = row.line
            if set_name is not None:
                sets[set_name].append(sample.id)
    bare = [sample.id for sample in samples if sample.id not in lines]
    if bare:
        raise UserError(
            f"{path} names no set for {len(bare)} samples, the first is {bare[0]!r}",
            f"add a row for each; {LEFT_OUT!r} leaves one out",
        )
    return {set_name: tuple(sorted(ids)) for set_name, ids in sets.items()}


def _set_of(row: Row, path: Path) -> SetName | None:
    said = row.cells["set"]
    for set_name in SET_NAMES:
        if said == set_name:
            return set_name
    if said == LEFT_OUT:
        return None
    raise UserError(f"{path} line {row.line}: the set is {said!r}", f"write one of {', '.join((*SET_NAMES, LEFT_OUT))}")


def _check_file(samples: Sequence[Sample], split: Split, path: Path, found: str, allow_leak: bool) -> None:
    by_id = {sample.id: sample for sample in samples}
    for set_name, ids in split.sets.items():
        _refuse_unknown(by_id, ids, f"the {set_name} set of {path}")
    missing = [set_name for set_name in SET_NAMES if not split.sets.get(set_name)]
    if missing:
        raise UserError(f"{path} has no {' and no '.join(missing)} set", "each set needs at least one sample")
    refuse_doubles(split)
    if not allow_leak:
        refuse_leaks(samples, split)
    if found != split.fingerprint:
        raise UserError(
            f"{path} was made from other data: images, masks or groups differ from those in data.root",
            "use the data it was made from, or make a new split",
        )


def _refuse_unknown(by_id: Mapping[str, Sample], ids: Sequence[str], where: str) -> None:
    unknown = [sample_id for sample_id in ids if sample_id not in by_id]
    if unknown:
        listed = ", ".join(unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
        raise UserError(f"{where} names {len(unknown)} unknown samples: {listed}", "use the data it was made from")
