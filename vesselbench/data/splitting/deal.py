"""Dealing groups out: shares, strata, folds and nested subsets, all from one seed. Names in, names out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vesselbench.config import SplitConfig
from vesselbench.errors import UserError
from vesselbench.plugins import nearest
from vesselbench.types import SET_NAMES, SetName

_SUBSET = 1
"""Marks the random stream of the subsets, so that they do not depend on how the sets were drawn."""


def deal(groups: Sequence[str], config: SplitConfig, fractions: Mapping[str, float] | None) -> dict[SetName, list[str]]:
    """Which groups are in which set, before any subset is taken.

    A share is a share of ALL groups, rounded to the nearest whole number and at least one. Named groups go where they
    are listed; the shuffled rest is dealt out: test, then val, then train. `fractions`: vessel fraction of each group
    in [0,1], needed to stratify. Raises UserError for unknown or doubled names and for a set without groups.
    """
    named = _named(groups, config)
    taken = {group for members in named.values() for group in members}
    rng = np.random.default_rng(config.seed)
    rest = [group for group in sorted(groups) if group not in taken]
    rest = [rest[index] for index in rng.permutation(len(rest))]
    if config.stratify:
        assert fractions is not None, "stratifying needs the vessel fractions"
        rest.sort(key=lambda group: fractions[group])  # stable: equal ones stay shuffled
    counts = {name: _count(share, len(groups)) for name, share in (("test", config.test), ("val", config.val))}
    if config.folds is not None:
        sides = _fold(rest, counts["val"], config.folds, config.fold, rng)
    else:
        sides = {}
        for name, count in counts.items():
            sides[name], rest = _spread(rest, count, rng) if config.stratify else (rest[:count], rest[count:])
        sides["train"] = rest
    dealt: dict[SetName, list[str]] = {name: named.get(name, sides[name]) for name in SET_NAMES}
    _refuse_empty(dealt, len(groups))
    return dealt


def nested(groups: Sequence[str], share: float, seed: int) -> list[str]:
    """A share of the groups, rounded to the nearest whole number and at least one, in sorted order.

    The beginning of one shuffled list: what a smaller share holds, a larger one of the same seed holds too.
    """
    names = sorted(set(groups))
    order = np.random.default_rng([seed, _SUBSET]).permutation(len(names))
    return sorted(names[index] for index in order[: max(1, int(share * len(names) + 0.5))])


def _named(groups: Sequence[str], config: SplitConfig) -> dict[SetName, list[str]]:
    named: dict[SetName, list[str]] = {}
    asked: tuple[tuple[SetName, float | list[str]], ...] = (("test", config.test), ("val", config.val))
    for set_name, wanted in asked:
        if isinstance(wanted, list):
            named[set_name] = sorted(set(wanted))
            for group in wanted:
                if group not in groups:
                    raise UserError(f"data.split.{set_name}: no group {group!r}", nearest(group, list(groups)))
    both = set(named.get("test", ())) & set(named.get("val", ()))
    if both:
        raise UserError(f"data.split: group {min(both)!r} stands in val and in test", "name it once")
    return named


def _count(share: float | list[str], groups: int) -> int:
    """Groups to draw for a share of all; 0 for a set whose groups are named."""
    return max(1, int(share * groups + 0.5)) if isinstance(share, float) else 0


def _fold(rest: list[str], val: int, folds: int, fold: int, rng: np.random.Generator) -> dict[str, list[str]]:
    """The sets of one fold. Each block of `folds` neighbours of the list gives one test group to each fold.

    `val` groups are drawn from the folds that come next, as few as hold so many: so every group is trained on in some
    fold, and strata stay strata.
    """
    if len(rest) < folds:
        raise UserError(
            f"data.split.folds: {folds} folds of {len(rest)} groups leave a fold empty",
            "lower data.split.folds, or check data.group",
        )
    sides = np.concatenate([rng.permutation(folds) for _ in range(0, len(rest), folds)])[: len(rest)]
    turns = dict(zip(rest, ((int(side) - fold) % folds for side in sides), strict=True))
    later = sorted(turn for turn in turns.values() if turn)
    last = later[min(val, len(later)) - 1] if val and later else 0
    chosen, _ = _spread([group for group in rest if 0 < turns[group] <= last], val, rng)
    return {
        "test": [group for group in rest if turns[group] == 0],
        "val": chosen,
        "train": [group for group in rest if turns[group] and group not in chosen],
    }


def _spread(ordered: list[str], count: int, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """One of each of `count` equal stretches of an ordered list, drawn at random, and what is left, in order."""
    stretches = [part for part in np.array_split(np.arange(len(ordered)), max(1, count)) if len(part) and count]
    chosen = {int(rng.choice(part)) for part in stretches}
    return [ordered[i] for i in sorted(chosen)], [group for i, group in enumerate(ordered) if i not in chosen]


def _refuse_empty(dealt: Mapping[SetName, list[str]], groups: int) -> None:
    empty = [set_name for set_name in SET_NAMES if not dealt[set_name]]
    if empty:
        counts = ", ".join(f"{set_name} {len(dealt[set_name])}" for set_name in SET_NAMES)
        raise UserError(
            f"data.split leaves no group for {' and '.join(empty)}: {groups} groups give {counts}",
            "lower data.split.val and data.split.test, or check data.group (at least 3 groups are needed)",
        )
