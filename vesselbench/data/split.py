"""Division into train, val and test by whole groups (patients)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vesselbench.config import SplitConfig
from vesselbench.data.fingerprint import fingerprint
from vesselbench.errors import UserError
from vesselbench.plugins import nearest
from vesselbench.rundir import read_split
from vesselbench.types import SET_NAMES, Sample, SetName, Split

_SHOWN = 5


def make_split(samples: Sequence[Sample], config: SplitConfig, name: str, data: str | None = None) -> Split:
    """Deal the groups out to the three sets, or read ``config.file`` and check that it fits.

    A share is a share of ALL groups, rounded to the nearest whole number of groups and at least one; groups that are
    listed by name go where they are listed, the shuffled rest is dealt out: test, then val, then train.
    The ids of a set are sorted. `data` is the samples' fingerprint where it is known already.
    Raises UserError for unknown group names, a set without groups, a group on two sides,
    and a file that was made from other ids or other data.
    """
    found = fingerprint(samples) if data is None else data
    if config.file is not None:
        return _checked_file(samples, config.file, found)
    groups = _deal(sorted({sample.group for sample in samples}), config)
    side = {group: set_name for set_name, members in groups.items() for group in members}
    sets: dict[SetName, tuple[str, ...]] = {
        set_name: tuple(sorted(sample.id for sample in samples if side[sample.group] == set_name))
        for set_name in SET_NAMES
    }
    return Split(name, config.seed, sets, found)


def select(samples: Sequence[Sample], split: Split, set_name: SetName) -> list[Sample]:
    """The samples of one set, in the split's order; UserError when one of them is not among `samples`."""
    by_id = {sample.id: sample for sample in samples}
    _refuse_unknown(by_id, split.sets.get(set_name, ()), f"the {set_name} set of split {split.name!r}")
    return [by_id[sample_id] for sample_id in split.sets.get(set_name, ())]


def refuse_leaks(samples: Sequence[Sample], split: Split) -> None:
    """Raise UserError when a sample stands twice in the split or a group stands in two of its sets."""
    by_id = {sample.id: sample for sample in samples}
    seen: dict[str, SetName] = {}
    sides: dict[str, SetName] = {}
    for set_name, ids in split.sets.items():
        for sample_id in ids:
            if sample_id in seen:
                raise UserError(
                    f"split {split.name!r}: {sample_id!r} stands in {seen[sample_id]} and in {set_name}", "keep one"
                )
            seen[sample_id] = set_name
            group = by_id[sample_id].group
            if sides.setdefault(group, set_name) != set_name:
                raise UserError(
                    f"split {split.name!r}: group {group!r} stands in {sides[group]} and in {set_name}",
                    "put all samples of a patient into one set",
                )


def _deal(groups: list[str], config: SplitConfig) -> dict[SetName, list[str]]:
    asked: dict[SetName, float | list[str]] = {"test": config.test, "val": config.val}
    named: dict[SetName, list[str]] = {}
    for set_name, wanted in asked.items():
        if isinstance(wanted, list):
            named[set_name] = wanted
            for group in wanted:
                if group not in groups:
                    raise UserError(f"data.split.{set_name}: no group {group!r}", nearest(group, groups))
    both = set(named.get("test", ())) & set(named.get("val", ()))
    if both:
        raise UserError(f"data.split: group {min(both)!r} stands in val and in test", "name it once")
    taken = {group for members in named.values() for group in members}
    rest = [group for group in groups if group not in taken]
    order = np.random.default_rng(config.seed).permutation(len(rest))
    rest = [rest[index] for index in order]
    dealt: dict[SetName, list[str]] = {}
    for set_name, share in asked.items():
        count = max(1, int(share * len(groups) + 0.5)) if isinstance(share, float) else 0
        dealt[set_name] = sorted(set(named[set_name])) if set_name in named else rest[:count]
        rest = rest[count:]
    dealt["train"] = rest
    _refuse_empty(dealt, len(groups))
    return dealt


def _refuse_empty(dealt: Mapping[SetName, list[str]], groups: int) -> None:
    empty = [set_name for set_name in SET_NAMES if not dealt[set_name]]
    if empty:
        counts = ", ".join(f"{set_name} {len(dealt[set_name])}" for set_name in SET_NAMES)
        raise UserError(
            f"data.split leaves no group for {' and '.join(empty)}: {groups} groups give {counts}",
            "lower data.split.val and data.split.test, or check data.group (at least 3 groups are needed)",
        )


def _checked_file(samples: Sequence[Sample], path: Path, found: str) -> Split:
    split = read_split(path)
    by_id = {sample.id: sample for sample in samples}
    for set_name, ids in split.sets.items():
        _refuse_unknown(by_id, ids, f"the {set_name} set of {path}")
    missing = [set_name for set_name in SET_NAMES if not split.sets.get(set_name)]
    if missing:
        raise UserError(f"{path} has no {' and no '.join(missing)} set", "each set needs at least one sample")
    refuse_leaks(samples, split)
    if found != split.fingerprint:
        raise UserError(
            f"{path} was made from other data: images, masks or groups differ from those in data.root",
            "use the data it was made from, or make a new split",
        )
    return split


def _refuse_unknown(by_id: Mapping[str, Sample], ids: Sequence[str], where: str) -> None:
    unknown = [sample_id for sample_id in ids if sample_id not in by_id]
    if unknown:
        listed = ", ".join(unknown[:_SHOWN]) + (", ..." if len(unknown) > _SHOWN else "")
        raise UserError(f"{where} names {len(unknown)} unknown samples: {listed}", "use the data it was made from")
